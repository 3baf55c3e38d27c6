"use strict";
/* Tokens of one recording: a figure of panels, models by conditions, and the rows of a table. */
const tokens = (() => {
  const MOST = 12; // tokens of an answer or a word that the figure shows; the table has them all
  const CHOICES = 5;
  let packed = { rows: 0, columns: {} };
  let first = new Map(); // recording -> its first row; rows of a recording stand together

  const load = async () => {
    packed = await data.unpack("token-data");
    for (let row = 0; row < packed.rows; row++) {
      const clip = packed.columns.clip.at(row);
      if (!first.has(clip)) first.set(clip, row);
    }
  };

  const value = (key, row) => (packed.columns[key] ? packed.columns[key].at(row) : null);

  // Every token of a recording, in the order of cells: { cell, spoken, position, token, bits, rank, entropy, choices }.
  const of = (clip) => {
    const found = [];
    for (let row = first.get(clip) ?? packed.rows; row < packed.rows && value("clip", row) === clip; row++) {
      const choices = [];
      for (let k = 1; k <= CHOICES; k++) {
        const token = value(`token_${k}`, row);
        if (token !== null) choices.push({ token, p: 2 ** -value(`bits_${k}`, row) });
      }
      found.push({
        cell: value("cell", row), spoken: value("spoken", row) === 1, position: value("position", row),
        token: value("token", row), bits: value("bits", row), p: 2 ** -value("bits", row), rank: value("rank", row),
        entropy: value("entropy", row), choices,
      });
    }
    return found;
  };

  // Control characters have pictures of their own; in an SVG they may not stand.
  const visible = (text) => text.replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0))).replace("\u007f", "\u2421");
  const quoted = (token) => (/^<\|.*\|>$/.test(token) ? "end" : `“${visible(token)}”`);
  const plain = (text) => visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const shorter = (text, most) => ([...text].length > most ? [...text].slice(0, most - 1).join("") + "…" : text);
  // Two decimals, and below them two digits, of tiny ones as a power of ten.
  const share = (p) => (p >= 0.01 || p === 0 ? p.toFixed(2) : p.toPrecision(2));
  const same = (a, b) => a.trim().toLowerCase() === b.trim().toLowerCase();

  const GREY = { light: ["#8f9aa7", "#c3cad2", "#d5dae0", "#e2e6ea", "#edf0f2"], dark: ["#717d8b", "#4c5662", "#414a55", "#373f49", "#2e353e"] };

  // Black or white, whichever stands out on a colour (WCAG's luminance; 0.18 is where they meet).
  const ink = (colour) => {
    const [r, g, b] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000000" : "#ffffff";
  };

  // One panel: bars of the answer's tokens, a gap, bars of the spoken word's.
  const panel = (mine, colour, axes, theme, traces) => {
    const answer = mine.filter((t) => !t.spoken).slice(0, MOST);
    const spoken = mine.filter((t) => t.spoken).slice(0, MOST);
    const bars = Array.from({ length: CHOICES + 1 }, () => ({ x: [], y: [], base: [], text: [], colour: [], hover: [] }));
    answer.forEach((t, i) => {
      const choices = t.choices.length ? t.choices : [{ token: t.token, p: t.p }];
      let base = 0;
      choices.forEach((c, k) => {
        const right = spoken[i] && same(spoken[i].token, c.token);
        const bar = bars[k];
        bar.x.push(c.p); bar.y.push(i); bar.base.push(base); bar.text.push(c.p > 0.12 ? plain(quoted(c.token)) : "");
        bar.colour.push(right ? colour : GREY[theme][c.token === t.token ? 0 : k || 1]);
        bar.hover.push(`${plain(quoted(c.token))}: p = ${share(c.p)}${c.token === t.token ? ", chosen" : ""}${right ? ", spoken" : ""}`);
        base += c.p;
      });
    });
    spoken.forEach((t, i) => {
      const bar = bars[CHOICES];
      bar.x.push(t.p); bar.y.push(answer.length + 0.6 + i); bar.base.push(0); bar.text.push(""); bar.colour.push(colour);
      bar.hover.push(`${plain(quoted(t.token))} as spoken: p = ${share(t.p)}, rank ${t.rank ?? "?"}`);
    });
    bars.filter((bar) => bar.x.length).forEach((bar) => traces.push({
      type: "bar", orientation: "h", x: bar.x, y: bar.y, base: bar.base, text: bar.text, customdata: bar.hover,
      textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none", cliponaxis: true,
      textfont: { size: 11, color: bar.colour.map(ink) }, marker: { color: bar.colour, line: { width: 0 } }, width: 0.74,
      hovertemplate: "%{customdata}<extra></extra>", showlegend: false, xaxis: axes.x, yaxis: axes.y,
    }));
    return {
      ticks: [...answer.map((t, i) => [i, plain(quoted(t.token))]), ...spoken.map((t, i) => [answer.length + 0.6 + i, `<i>${plain(quoted(t.token))}</i>`])],
      length: answer.length + spoken.length + 0.6,
    };
  };

  // The whole figure as plotly takes it, or null where nothing is known of the recording.
  const figure = (found, about, answers, theme) => {
    const cells = [...new Set(found.map((t) => t.cell))];
    if (!cells.length) return null;
    const models = [...new Set(cells.map((k) => about.cells[k].model))];
    const shown = about.order.filter((name) => cells.some((k) => about.cells[k].condition === name));
    const rows = models.map((model) => Math.max(...cells.filter((k) => about.cells[k].model === model).map((k) => {
      const mine = found.filter((t) => t.cell === k);
      return Math.min(MOST, mine.filter((t) => !t.spoken).length) + Math.min(MOST, mine.filter((t) => t.spoken).length) + 0.6;
    })));
    // Titles have room on paper, too: where they have not beside each other, model and hearing stand on two lines.
    const room = Math.max(10, Math.floor((figures.PAPER * (1 / shown.length - 0.095)) / 6.6));
    const heads = cells.map((k) => [about.cells[k].who, `hearing ${about.cells[k].condition}`]);
    const apart = heads.some((head) => head.join(", ").length > room);
    const head = (k) => {
      const [who, hearing] = heads[cells.indexOf(k)].map((text) => plain(shorter(text, room)));
      return `<b>${who}</b>${apart ? "<br>" : ", "}${hearing}<br>${plain(shorter(answers[k] ?? "–", Math.min(room, 40)))}`;
    };
    const [bar, title, gap] = [20, apart ? 53 : 38, 18];
    const inner = rows.reduce((sum, n) => sum + n * bar + title + gap, 0);
    const layout = { barmode: "overlay", dragmode: false, height: Math.ceil(inner + 40), margin: { l: 10, r: 10, t: 10, b: 30 }, annotations: [], showlegend: false };
    const traces = [];
    let top = 0;
    models.forEach((model, m) => {
      const [high, low] = [1 - (top + title) / inner, 1 - (top + title + rows[m] * bar) / inner];
      shown.forEach((condition, c) => {
        const k = cells.find((cell) => about.cells[cell].model === model && about.cells[cell].condition === condition);
        if (k === undefined) return;
        const n = m * shown.length + c + 1;
        const suffix = n === 1 ? "" : n;
        const width = 1 / shown.length;
        const [left, right] = [c * width + 0.085, (c + 1) * width - 0.01];
        const made = panel(found.filter((t) => t.cell === k), about.colours[condition], { x: "x" + suffix, y: "y" + suffix }, theme, traces);
        layout["xaxis" + suffix] = {
          domain: [left, right], anchor: "y" + suffix, range: [0, 1], fixedrange: true, tickvals: [0, 0.5, 1], showline: false,
          showticklabels: m === models.length - 1, ticks: "", zeroline: true,
        };
        layout["yaxis" + suffix] = {
          domain: [low, high], anchor: "x" + suffix, range: [rows[m] - 0.4, -0.6], fixedrange: true, showgrid: false, zeroline: false,
          showline: false, ticks: "", tickvals: made.ticks.map(([at]) => at), ticktext: made.ticks.map(([, label]) => label), tickfont: { size: 11 },
        };
        layout.annotations.push({
          x: left, y: high, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, align: "left",
          text: head(k), font: { size: 12 },
        });
      });
      top += rows[m] * bar + title + gap;
    });
    return { data: traces, layout };
  };

  const says = (found, about) => {
    const parts = [...new Set(found.map((t) => t.cell))].map((k) => {
      const mine = found.filter((t) => t.cell === k && !t.spoken);
      return `${about.cells[k].who}, hearing ${about.cells[k].condition}: ${mine.map((t) => `${quoted(t.token)} ${t.p.toFixed(2)}`).join(", ")}`;
    });
    return `Probability of each token of the answers. ${parts.join(". ")}.`;
  };

  const spec = [
    { key: "model", title: "Model", kind: "text" },
    { key: "hearing", title: "Hearing", kind: "text" },
    { key: "part", title: "Part", kind: "text" },
    { key: "place", title: "Place", kind: "count" },
    { key: "token", title: "Token", kind: "text", html: (row) => data.escape(quoted(row[4])) },
    { key: "probability", title: "p", kind: "bits", html: (row) => share(row[5]).replace(/e-(\d+)/, "·10<sup>−$1</sup>") },
    { key: "bits", title: "Bits", kind: "bits" },
    { key: "rank", title: "Rank", kind: "count" },
    { key: "entropy", title: "Entropy", kind: "bits" },
    { key: "most_probable", title: "Most probable there", kind: "text", html: (row) => (row[9] ? data.escape(row[9]) : "–") },
    ...Array.from({ length: CHOICES }, (_, k) => [
      { key: `token_${k + 1}`, title: `Token ${k + 1}`, kind: "text", csvOnly: true },
      { key: `probability_${k + 1}`, title: `p ${k + 1}`, kind: "bits", csvOnly: true },
    ]).flat(),
    { key: "recording", title: "Recording", kind: "text", csvOnly: true },
  ];

  const rounded = (p) => Number(p.toPrecision(3));
  const table = (found, about, recording) => found.map((t) => [
    about.cells[t.cell].who, about.cells[t.cell].condition, t.spoken ? "spoken word" : "answer", t.position + 1, t.token,
    rounded(t.p), t.bits, t.rank, t.entropy, t.choices.filter((c) => c.p >= 0.005).map((c) => `${quoted(c.token)} ${c.p.toFixed(2)}`).join(", ") || null,
    ...Array.from({ length: CHOICES }, (_, k) => [t.choices[k]?.token ?? null, t.choices[k] ? rounded(t.choices[k].p) : null]).flat(),
    recording,
  ]);

  return { load, of, figure, says, spec, table, has: (clip) => first.has(clip) };
})();
