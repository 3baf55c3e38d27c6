"use strict";
/* Tables: sorted, searched, filtered by column, paged and saved as CSV by DataTables and a few lines around it. */
const tables = (() => {
  let DataTable = null;

  const load = async () => {
    const url = URL.createObjectURL(new Blob([data.bytes(document.getElementById("datatables-bundle").textContent)], { type: "text/javascript" }));
    ({ default: DataTable } = await import(url));
    URL.revokeObjectURL(url);
  };

  const quote = (value) => {
    if (value === null || value === undefined) return "";
    if (value === Infinity) return "inf"; // as R and pandas write it
    const given = String(value);
    // A leading = + - @ or tab would be a formula in a spreadsheet; hyphenated parts of words and numbers are none.
    const safe = typeof value === "string" && /^(?:[=+@\t\r]|-(?=.*[^\p{L}\p{M}\d.'’-]))/su.test(given) ? "'" + given : given;
    return /[",\n\r]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };

  // What a column can be asked for: its values, of each row that DataTables knows by number.
  const csv = (dt, columns, name) => {
    const fields = columns.flatMap((c) => [
      [c.name, c.value], ...(c.low ? [[c.name + "_low", c.low], [c.name + "_high", c.high]] : []),
    ]);
    const lines = [fields.map(([field]) => quote(field)).join(",")];
    for (const row of dt.rows({ search: "applied", order: "applied" }).indexes().toArray()) {
      lines.push(fields.map(([, value]) => quote(value(row))).join(","));
    }
    data.save(name + ".csv", lines.join("\n") + "\n", "text/csv;charset=utf-8");
  };

  const relations = {
    contains: ["contains", (value, wanted) => String(value ?? "").toLowerCase().includes(wanted.toLowerCase())],
    is: ["is", (value, wanted) => typeof value === "number" ? value === Number(wanted) : String(value ?? "").toLowerCase() === wanted.toLowerCase()],
    least: ["at least", (value, wanted) => typeof value === "number" && value >= Number(wanted)],
    most: ["at most", (value, wanted) => typeof value === "number" && value <= Number(wanted)],
  };

  const named = (id) => `the table of ${id.replace(/-table$/, "")}`;

  const filterForm = (dt, id, columns) => {
    const form = document.createElement("form");
    form.dataset.filter = id;
    form.className = "filter";
    form.setAttribute("aria-label", `Filter ${named(id)} by column`);
    const choices = (entries) => entries.map(([value, label]) => `<option value="${data.escape(value)}">${data.escape(label)}</option>`).join("");
    form.innerHTML =
      `<label>Column <select name="column">${choices(columns.map((c, i) => [i, c.label]))}</select></label>` +
      `<label><span class="vh">Relation</span><select name="relation">${choices(Object.entries(relations).map(([key, [label]]) => [key, label]))}</select></label>` +
      '<label><span class="vh">Value</span><input name="value" type="text" size="10" placeholder="value"></label>' +
      '<button type="reset">Clear</button>';
    const apply = () => {
      const column = columns[Number(form.elements.column.value)];
      const wanted = form.elements.value.value.trim();
      const holds = relations[form.elements.relation.value][1];
      dt.search.fixed("column", wanted === "" ? null : (text, row, index) => holds(column.value(index), wanted)).draw();
    };
    let timer = 0;
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); apply(); });
    form.addEventListener("reset", () => setTimeout(apply));
    return form;
  };

  const language = (things) => ({
    search: "Search:", lengthMenu: "Show _MENU_ rows", info: `_START_ to _END_ of _TOTAL_ ${things}`,
    infoFiltered: "(of _MAX_)", infoEmpty: `no ${things}`, zeroRecords: "Nothing matches the search and the filter.",
    emptyTable: "Nothing here.",
  });

  const setUp = (element, columns, options, things) => {
    const id = element.id;
    const dt = new DataTable(element, {
      order: [], autoWidth: false, language: language(things),
      layout: {
        topStart: { buttons: [{
          text: "Download CSV", attr: { "data-csv": id, "aria-label": `Download ${named(id)} as CSV` },
          action: () => csv(dt, columns, id.replace(/-table$/, "")),
        }] },
        topEnd: "search",
        bottomStart: options.paging === false ? null : ["pageLength", "info"],
        bottomEnd: options.paging === false ? null : "paging",
      },
      ...options,
    });
    const tools = document.createElement("details");
    tools.className = "tools";
    tools.innerHTML = "<summary>Filter by column</summary>";
    tools.append(filterForm(dt, id, columns));
    const container = dt.table().container();
    container.querySelector(".dt-search").before(tools);
    container.querySelector(".dt-search input").setAttribute("aria-label", `Search ${named(id)}`);
    const note = document.createElement("p");
    note.className = "print-note note";
    container.append(note);
    const tell = () => {
      container.querySelector(".dt-paging nav")?.setAttribute("aria-label", `Pages of ${named(id)}`);
      const { start, end, recordsDisplay, recordsTotal } = dt.page.info();
      const some = recordsDisplay < recordsTotal ? ` that match, of ${recordsTotal.toLocaleString("en")}` : "";
      note.textContent = end - start < recordsTotal
        ? `Printed: ${(start + 1).toLocaleString("en")} to ${end.toLocaleString("en")} of ${recordsDisplay.toLocaleString("en")} ${things}${some}. The file of this report has them all.`
        : "";
    };
    dt.on("draw", tell);
    tell();
    return dt;
  };

  // A table that stands in the page: its cells say what they are sorted by. A long one is shown in pages.
  const LONG = 30;
  const small = (element) => {
    const titles = [...element.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const cells = [...element.tBodies[0].rows].map((row) => [...row.cells].map((cell) => ({
      text: cell.textContent.trim(), value: cell.dataset.order, low: cell.dataset.low, high: cell.dataset.high,
    })));
    const number = (text) => (text === undefined ? null : Number(text));
    const columns = titles.map((title, i) => {
      const ends = cells.some((row) => row[i].low !== undefined);
      return {
        name: title, label: title,
        value: (row) => (cells[row][i].value === undefined ? cells[row][i].text : Number(cells[row][i].value)),
        low: ends ? (row) => number(cells[row][i].low) : null,
        high: ends ? (row) => number(cells[row][i].high) : null,
      };
    });
    const numeric = titles.map((_, i) => cells.some((row) => row[i].value !== undefined));
    const paging = cells.length > LONG ? { pageLength: 25, lengthMenu: [25, 50, 100, 500] } : { paging: false, info: false };
    return setUp(element, columns, {
      ...paging, columns: numeric.map((yes) => (yes ? { type: "num", className: "dt-right" } : { className: "dt-left" })),
    }, "rows");
  };

  const fixed = (value, decimals) => (value === Infinity ? "∞" : value.toFixed(decimals).replace("-", "−"));
  const shown = {
    text: (value) => data.escape(value),
    count: (value) => value.toLocaleString("en"),
    percent: (value) => fixed(value, 1),
    bits: (value) => fixed(value, 2),
    change: (value) => (value > 0 ? "+" : "") + fixed(value, 2),
  };

  // DataTables takes titles for HTML, and what it searches, too, wherever there is an & in it.
  // A table from packed columns; rows are numbers, and only those in sight become elements.
  const large = (element, packed, { things, link }) => {
    const spec = data.read(element.id + "-columns");
    const opens = new Set();
    spec.groups.reduce((at, [, width]) => { opens.add(at); return at + width; }, 0);
    opens.delete(0);
    const group = spec.groups.flatMap(([name, width]) => Array(width).fill(name));
    const all = spec.columns.map((c, i) => {
      const column = packed.columns[c.key];
      const [low, high] = [packed.columns[c.low], packed.columns[c.high]];
      return {
        name: c.key, label: group[i] ? `${group[i]}: ${c.title}` : c.title, kind: c.kind, column, low: low && low.at, high: high && high.at,
        value: column.at,
      };
    });
    const display = (c, i) => (row) => {
      const value = c.value(row);
      if (value === null) return "–";
      let text = shown[c.kind](value);
      if (c.low && c.low(row) !== null && c.low(row) < c.high(row)) {
        text += ` <span class="ends">${shown.bits(c.low(row))} to ${shown.bits(c.high(row))}</span>`;
      }
      return i ? text : link(row, text);
    };
    const classes = (c, i) => [c.kind === "text" ? "dt-left" : "dt-right", i ? "" : "first", opens.has(i) ? "opens" : ""].join(" ").trim();
    return setUp(element, all, {
      data: Array.from({ length: packed.rows }, (_, i) => i),
      columns: all.map((c, i) => {
        const show = display(c, i);
        return {
          type: "num", className: classes(c, i), searchable: c.kind === "text", title: data.escape(spec.columns[i].title),
          data: (row, type) => (type === "display" ? show(row) : type === "filter" ? data.escape(c.value(row)) : c.column.order(row)),
        };
      }),
      deferRender: true, pageLength: 25, lengthMenu: [25, 50, 100, 500],
    }, things);
  };

  // A table whose rows change with the recording that is shown.
  const changing = (element, spec, { things, paged = false }) => {
    element.createTHead().innerHTML = `<tr>${spec.filter((c) => !c.csvOnly).map((c) => `<th scope="col">${data.escape(c.title)}</th>`).join("")}</tr>`;
    let rows = [];
    const columns = spec.map((c, i) => ({ name: c.key, label: c.title, value: (row) => rows[row][i], low: null, high: null }));
    const visible = spec.map((c, i) => [c, i]).filter(([c]) => !c.csvOnly);
    const dt = setUp(element, columns, {
      data: [], ...(paged ? { pageLength: 10, lengthMenu: [10, 25, 100, 500] } : { paging: false, info: false }),
      columns: visible.map(([c, i]) => ({
        className: c.kind === "text" ? "dt-left" : "dt-right", type: c.kind === "text" ? "string" : "num",
        data: (row, type) => {
          const value = row[i];
          if (type === "filter") return data.escape(value);
          if (type !== "display") return value ?? (c.kind === "text" ? "" : -1);
          return value === null ? "–" : c.html ? c.html(row) : shown[c.kind](value);
        },
      })),
    }, things);
    return (fresh) => { rows = fresh; dt.clear().rows.add(fresh).order([]).draw(); };
  };

  return { load, small, large, changing };
})();
