"use strict";
/* Everything is set up in the order in which a reader meets it; `data-ready` says that nothing is left to do. */
(async () => {
  // One recording at a time.
  document.addEventListener("play", (event) => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);

  // On paper nothing can be opened.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open], .tools, .long)")) { details.open = true; opened.push(details); }
  });
  addEventListener("afterprint", () => { for (const details of opened.splice(0)) details.open = false; });

  try {
    const drawn = figures.start();
    await tables.load();
    const words = await data.unpack("word-data");
    const at = (kind, key) => (row, text) => {
      const name = (kind === "word" ? words : recordings.packed()).columns[key].at(row);
      return `<a href="#${kind}=${encodeURIComponent(name)}" data-${kind}="${data.escape(name)}">${text}</a>`;
    };
    tables.large(document.getElementById("word-table"), words, { things: "words", link: at("word", "word") });
    document.documentElement.dataset.words = "yes";
    await Promise.all([tokens.load(), recordings.load()]);
    recordings.start();
    const every = document.getElementById("clip-table");
    if (every) tables.large(every, recordings.packed(), { things: "recordings", link: at("clip", "recording") });
    for (const table of document.querySelectorAll("[data-table=small]")) { await data.idle(); tables.small(table); }
    await drawn;
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    const trouble = document.getElementById("trouble");
    trouble.hidden = false;
    trouble.textContent = `The charts and tables could not be set up (${error.message}). A browser of 2023 or later can show them.`;
    throw error;
  }
})();
