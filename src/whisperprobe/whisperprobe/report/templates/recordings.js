"use strict";
/* One recording: looked up, or chosen in a table; its players, what each model made of it, its tokens. */
const recordings = (() => {
  const about = data.read("about");
  const element = (id) => document.getElementById(id);
  let packed = null;
  let media = null; // parsed when one of its recordings is first shown
  let fillAnswers = null;
  let fillTokens = null;
  let here = null;
  const byId = new Map();
  const byWord = new Map();

  const get = (key, row) => packed.columns[key].at(row);

  const load = async () => {
    packed = await data.unpack("clip-data");
    for (let row = 0; row < packed.rows; row++) {
      byId.set(get("recording", row), row);
      const word = get("word", row);
      if (word !== null) byWord.has(word) ? byWord.get(word).push(row) : byWord.set(word, [row]);
    }
  };

  // Sounds and pictures: those of the examples stand in the page, the others in one script element.
  const kept = new Set(about.media);
  const examples = new Map([...document.querySelectorAll("article[data-clip]")].map((article) => [article.dataset.clip, article]));
  const hasSound = (id) => kept.has(id) || examples.has(id);
  const mediaOf = (id) => {
    if (kept.has(id)) {
      media = media || data.read("sound-data");
      return media[id];
    }
    if (!examples.has(id)) return null;
    const example = examples.get(id);
    const conditions = {};
    for (const player of example.querySelectorAll(".player")) {
      conditions[player.dataset.condition] = { audio: player.querySelector("audio").src, picture: player.querySelector("img").src };
    }
    return { seconds: Number(example.dataset.seconds), khz: Number(example.dataset.khz), conditions };
  };

  const name = (row) => get("word", row) ?? get("text", row) ?? get("recording", row);

  const player = (row, condition, found) => {
    const sound = found.conditions[condition];
    const box = document.createElement("div");
    box.className = "player";
    const title = `“${name(row)}” under ${condition}`;
    box.innerHTML =
      `<h4>${data.escape(condition)}</h4><div class="spectrogram"><span class="axis" aria-hidden="true"><span>${found.khz}&nbsp;kHz</span><span>0</span></span>` +
      `<img width="220" height="128" alt="Spectrogram of ${data.escape(title)}, 0 to ${found.khz} kHz, ${found.seconds.toFixed(2)} s"></div>` +
      `<div class="time" aria-hidden="true"><span>0</span><span>${found.seconds.toFixed(2)}&nbsp;s</span></div>` +
      `<audio controls preload="none" aria-label="${data.escape(title)}"></audio>`;
    box.querySelector("h4").style.setProperty("--mark", about.colours[condition]);
    box.querySelector("img").src = sound.picture;
    box.querySelector("audio").src = sound.audio;
    return box;
  };

  const answers = (row) => about.cells.map((_, k) => (packed.columns[`answer_${k}`] ? get(`answer_${k}`, row) : null));

  const mixed = about.cells.some((cell) => cell.measure !== "bits"); // listeners that know no surprisal
  const answerSpec = [
    { key: "model", title: "Model", kind: "text" },
    { key: "hearing", title: "Hearing", kind: "text" },
    { key: "spoken", title: "Spoken", kind: "text" },
    {
      key: "answer", title: "Answer", kind: "text",
      html: (row) => {
        const right = row[4] === null ? "" : row[4] === 100 ? "right" : "wrong";
        const sign = right && `<span class="sign" aria-hidden="true">${right === "right" ? "✓" : "✗"}</span> `;
        return row[3] === null ? "–" : `<span class="${right}">${sign}${data.escape(row[3])}</span>`;
      },
    },
    { key: "correct_percent", title: "Correct %", kind: "count" },
    { key: "value", title: mixed ? "Value" : "Bits", kind: "bits" },
    { key: "rank", title: "Rank", kind: "percent" },
    { key: "recording", title: "Recording", kind: "text", csvOnly: true },
    ...(mixed ? [{ key: "measure", title: "What the value is", kind: "text" }] : []),
  ];

  const answerRows = (row) => about.cells.map((cell, k) => [
    cell.who, cell.condition, get("text", row) ?? get("word", row), get(`answer_${k}`, row), get(`correct_${k}`, row),
    get(`value_${k}`, row), get(`rank_${k}`, row), get("recording", row), ...(mixed ? [cell.measure] : []),
  ]).filter(([, , , answer, correct, value]) => answer !== null || correct !== null || value !== null);

  const sentence = (row, sound, known) => {
    const voice = get("voice", row);
    const parts = [`Recording ${get("recording", row)}${voice ? `, voice ${voice}` : ""}.`];
    if (!sound) {
      parts.push(about.sounds
        ? "Its sound is not in this file, which carries those of " + about.sounds.toLocaleString("en") + " recordings; its numbers are."
        : "This file carries no sounds: the corpora were not at hand when it was written.");
    }
    if (!known) {
      parts.push(about.tokens
        ? "Its tokens are not in this file, which carries those of " + about.tokens.toLocaleString("en") + " recordings; what each model made of it is below."
        : "This file carries no tokens: the probe runs were not at hand when it was written, or kept none.");
    }
    return parts.join(" ");
  };

  const show = (row, { focus = false } = {}) => {
    here = row;
    const id = get("recording", row);
    const word = get("word", row);
    element("clip-view").hidden = false;
    element("clip-title").textContent = `“${name(row)}”`;
    const others = word === null ? [row] : byWord.get(word);
    element("clip-recording").replaceChildren(...others.map((other) => {
      const option = new Option(get("recording", other) + (hasSound(get("recording", other)) ? " (with sound)" : ""), get("recording", other));
      option.selected = other === row;
      return option;
    }));
    const sound = mediaOf(id);
    const found = tokens.of(row);
    element("clip-note").textContent = sentence(row, sound, found.length > 0);
    element("clip-players").replaceChildren(...(sound ? about.order.filter((c) => sound.conditions[c]).map((c) => player(row, c, sound)) : []));
    fillAnswers(answerRows(row));
    element("clip-tokens").hidden = found.length === 0;
    if (found.length) {
      const div = element("fig-tokens");
      div.setAttribute("aria-label", tokens.says(found, about));
      div.dataset.name = `tokens-${id.replace(/[^\w.-]+/g, "-")}`;
      figures.draw(div, (theme) => tokens.figure(found, about, answers(row), theme));
      fillTokens(tokens.table(found, about, id));
    } else {
      fillTokens([]);
    }
    element("clip-found").textContent = "";
    if (focus) {
      element("clip-title").focus({ preventScroll: true });
      element("clip-title").scrollIntoView({ block: "start" });
    }
  };

  // The recording of a word that has most to show.
  const best = (rows) => rows.find((row) => hasSound(get("recording", row))) ?? rows.find((row) => tokens.has(row)) ?? rows[0];

  // An address that somebody typed: % may stand for itself.
  const decoded = (text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  };

  const follow = () => {
    const [, kind, text] = /^#(clip|word)=(.*)$/.exec(location.hash) || [];
    if (!kind) return false;
    const wanted = decoded(text);
    const row = kind === "clip" ? byId.get(wanted) : byWord.has(wanted) ? best(byWord.get(wanted)) : undefined;
    if (row === undefined) {
      element("clip-found").textContent = `There is no ${kind === "clip" ? "recording" : "word"} “${wanted}” here.`;
      return false;
    }
    show(row, { focus: true });
    return true;
  };

  const go = (id) => {
    const hash = "#clip=" + encodeURIComponent(id);
    if (location.hash === hash) follow();
    else location.hash = hash;
  };

  const lookUp = (text) => {
    const wanted = text.trim();
    if (!wanted) return;
    const words = packed.columns.word.texts;
    const lower = wanted.toLowerCase();
    const word = byWord.has(wanted) ? wanted : words.find((w) => w.toLowerCase() === lower) ?? null;
    if (byId.has(wanted)) go(wanted);
    else if (word !== null) go(get("recording", best(byWord.get(word))));
    else {
      const near = words.filter((w) => w.toLowerCase().startsWith(lower)).slice(0, 5);
      element("clip-found").textContent = `No word or recording is called “${wanted}”.` + (near.length ? ` There are: ${near.join(", ")}.` : "");
    }
  };

  // Without a jump; the address still leads to what is shown.
  const turnTo = (row) => {
    show(row);
    history.replaceState(null, "", "#clip=" + encodeURIComponent(get("recording", row)));
  };
  const step = (by) => turnTo((here + by + packed.rows) % packed.rows);

  const start = () => {
    fillAnswers = tables.changing(element("answer-table"), answerSpec, { things: "answers" });
    fillTokens = tables.changing(element("token-table"), tokens.spec, { things: "tokens", paged: true });
    addEventListener("hashchange", follow);
    // The same link a second time changes no hash.
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#clip='], a[href^='#word=']");
      if (link && link.hash === location.hash) { event.preventDefault(); follow(); }
    });
    element("clip-lookup").addEventListener("submit", (event) => { event.preventDefault(); lookUp(event.target.elements.q.value); });
    element("clip-q").addEventListener("input", (event) => {
      const lower = event.target.value.trim().toLowerCase();
      const near = lower ? packed.columns.word.texts.filter((w) => w.toLowerCase().startsWith(lower)).slice(0, 12) : [];
      element("clip-words").replaceChildren(...near.map((w) => new Option("", w)));
    });
    element("clip-recording").addEventListener("change", (event) => turnTo(byId.get(event.target.value)));
    element("clip-previous").addEventListener("click", () => step(-1));
    element("clip-next").addEventListener("click", () => step(1));
    if (!follow() && packed.rows) {
      const example = document.querySelector("article[data-clip]");
      const row = example ? byId.get(example.dataset.clip) : undefined;
      const told = element("clip-found").textContent; // of an address that leads nowhere
      show(row ?? best([...Array(Math.min(packed.rows, 50)).keys()]));
      element("clip-found").textContent = told;
    }
  };

  return { load, start, packed: () => packed };
})();
