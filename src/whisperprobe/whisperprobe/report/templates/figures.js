"use strict";
/* Charts: drawn in the page's theme, saved as SVG in the light one, fitted to paper for print. */
const figures = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = data.read("themes");
  const sources = new Map(); // element -> { data, layout } as given
  const PAPER = 680; // px between the margins of an A4 page, the narrower one of A4 and letter
  const config = { displayModeBar: false, responsive: true, showTips: false };
  const current = () => (dark.matches ? "dark" : "light");
  // A figure is given as it is, or as a function of the theme where its colours go beyond the template's.
  const themed = (source, theme) => {
    const figure = typeof source === "function" ? source(theme) : structuredClone(source);
    return { data: figure.data, layout: { ...figure.layout, template: themes[theme] } };
  };

  const draw = (div, source, theme = current()) => {
    sources.set(div, source);
    const figure = themed(source, theme);
    div.style.minHeight = figure.layout.height + "px";
    return Plotly.react(div, figure.data, figure.layout, config);
  };

  const waiting = () => [...document.querySelectorAll("[data-figure]")].filter((div) => !sources.has(div));
  const drawWaiting = (div) => draw(div, data.read(div.dataset.figure));

  // Those in sight first, the others while nothing else is to be done.
  const drawAll = async () => {
    for (const div of waiting()) {
      if (div.getBoundingClientRect().top > 2 * innerHeight) await data.idle();
      if (!sources.has(div)) drawWaiting(div);
    }
  };

  const svg = async (div) => {
    const figure = themed(sources.get(div), "light");
    const layout = { ...figure.layout, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff" };
    const size = { format: "svg", width: Math.max(div.clientWidth, 640), height: layout.height };
    const url = await Plotly.toImage({ data: figure.data, layout }, size);
    data.save(div.dataset.name + ".svg", decodeURIComponent(url.slice(url.indexOf(",") + 1)), "image/svg+xml");
  };

  const repaint = (theme) => {
    document.documentElement.classList.toggle("dark", theme === "dark"); // DataTables' own switch
    for (const [div, source] of sources) if (div.layout) draw(div, source, theme);
  };
  const resize = (size) => { for (const div of sources.keys()) if (div.layout) Plotly.relayout(div, size(div)); };

  const start = async () => {
    repaint(current());
    dark.addEventListener("change", () => repaint(current()));
    // Paper: light colours, and no wider than an A4 or letter page.
    addEventListener("beforeprint", () => {
      for (const div of waiting()) drawWaiting(div);
      repaint("light");
      resize((div) => ({ width: Math.min(div.clientWidth || PAPER, PAPER) }));
    });
    addEventListener("afterprint", () => { repaint(current()); resize(() => ({ autosize: true, width: null })); });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-download]");
      if (!button) return;
      const div = document.getElementById(button.dataset.download);
      if (!sources.has(div)) drawWaiting(div);
      svg(div);
    });
    await drawAll();
  };
  return { draw, start, current, PAPER };
})();
