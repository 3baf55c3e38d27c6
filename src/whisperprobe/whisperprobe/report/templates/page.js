(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = read("themes");
  const plots = [...document.querySelectorAll("[data-figure]")];

  const paint = (theme) => {
    document.documentElement.classList.toggle("dark", theme === "dark");
    for (const div of plots) if (div.layout) Plotly.relayout(div, { template: themes[theme] });
  };
  const current = () => (dark.matches ? "dark" : "light");

  for (const div of plots) {
    const figure = read(div.dataset.figure);
    figure.layout.template = themes[current()];
    Plotly.newPlot(div, figure.data, figure.layout, { displayModeBar: false, responsive: true, showTips: false });
  }
  paint(current());
  dark.addEventListener("change", () => paint(current()));
  // Paper: light colours, and no wider than an A4 or letter page.
  const fit = (size) => { for (const div of plots) if (div.layout) Plotly.relayout(div, size(div)); };
  addEventListener("beforeprint", () => { paint("light"); fit((div) => ({ width: Math.min(div.clientWidth, 690) })); });
  addEventListener("afterprint", () => { paint(current()); fit(() => ({ autosize: true, width: null })); });

  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", () => {
      const div = document.getElementById(button.dataset.download);
      Plotly.downloadImage(div, {
        format: "svg", filename: div.dataset.name, width: div.clientWidth, height: div.clientHeight,
      });
    });
  }
  // One recording at a time.
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);

  const table = read("word-data");
  const quote = (value) => {
    const text = value === null ? "" : String(value);
    // A leading = + - @ would be a formula in a spreadsheet.
    const safe = /^[=+@-]/.test(text) && typeof value === "string" ? "'" + text : text;
    return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };
  const save = (rows) => {
    const lines = [table.columns.map((c) => c.key), ...rows].map((row) => row.map(quote).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "words.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const missing = (shown) => (value, type) =>
    type === "display" ? (value === null ? "–" : shown(value)) : value === null ? (type === "sort" ? -1 : "") : value;
  const escaper = document.createElement("span");
  const escape = (text) => { escaper.textContent = text; return escaper.innerHTML; };
  const render = {
    text: (value, type) => (value === null ? (type === "display" ? "–" : "") : type === "display" || type === "filter" ? escape(value) : value),
    count: missing((v) => v.toLocaleString("en")),
    percent: missing((v) => v.toFixed(1)),
    bits: missing((v) => v.toFixed(2)),
  };
  const opens = new Set();
  table.groups.reduce((at, [, width]) => { opens.add(at); return at + width; }, 0);
  opens.delete(0);
  const classes = (c, i) => [c.kind === "text" ? "dt-left" : "dt-right", i ? "" : "first", opens.has(i) ? "opens" : ""].join(" ").trim();
  const source = Uint8Array.from(atob(document.getElementById("datatables-bundle").textContent), (c) => c.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  import(url).then(({ default: DataTable }) => {
    URL.revokeObjectURL(url);
    new DataTable("#word-table", {
      data: table.rows,
      columns: table.columns.map((c, i) => ({
        render: render[c.kind], className: classes(c, i),
        type: c.kind === "text" ? "string" : "num",
      })),
      deferRender: true,
      order: [],
      pageLength: 25,
      lengthMenu: [25, 50, 100, 500],
      autoWidth: false,
      layout: {
        topStart: { buttons: [{ text: "Download CSV", action: (event, dt) =>
          save(dt.rows({ search: "applied", order: "applied" }).data().toArray()) }] },
        topEnd: "search", bottomStart: ["pageLength", "info"], bottomEnd: "paging",
      },
      language: { search: "Search words and answers:", lengthMenu: "Show _MENU_ words", info: "_START_ to _END_ of _TOTAL_ words",
        infoFiltered: "(of _MAX_)", infoEmpty: "no words", zeroRecords: "No word matches the search." },
    });
    document.documentElement.dataset.ready = "yes";
  });
})();
