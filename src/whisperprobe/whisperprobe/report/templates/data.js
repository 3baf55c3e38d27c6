"use strict";
/* The page's data: JSON, and packed columns as report/packing.py writes them. */
const data = (() => {
  const text = (id) => document.getElementById(id).textContent;
  const read = (id) => JSON.parse(text(id));

  const bytes = (base64) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const binary = atob(base64);
    const found = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) found[i] = binary.charCodeAt(i);
    return found;
  };

  const inflate = async (packed) => {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

  // `at` gives a row's value or null, `order` a number to sort by: texts are numbered in their order.
  const column = (about, codes, texts) => {
    const none = 2 ** (8 * codes.BYTES_PER_ELEMENT) - 1;
    const endless = about.infinite ? none - 1 : none;
    const scale = 10 ** (about.decimals || 0);
    return {
      texts,
      at: texts
        ? (i) => (codes[i] === none ? null : texts[codes[i]])
        : (i) => (codes[i] === none ? null : codes[i] === endless ? Infinity : (about.least + codes[i]) / scale),
      order: (i) => (codes[i] === none ? -Infinity : codes[i]),
    };
  };

  const unpack = async (id) => {
    const packed = text(id).trim();
    if (!packed) return { rows: 0, columns: {} };
    const all = await inflate(bytes(packed));
    const end = all.indexOf(10);
    const header = JSON.parse(new TextDecoder().decode(all.subarray(0, end)));
    const columns = {};
    let at = end + 1;
    for (const about of header.columns) {
      const Kind = kinds[about.type];
      const codes = new Kind(all.buffer, all.byteOffset + at, header.rows);
      columns[about.key] = column(about, codes, about.dictionary === undefined ? null : header.dictionaries[about.dictionary]);
      at += Math.ceil(codes.byteLength / 4) * 4;
    }
    return { rows: header.rows, columns };
  };

  const save = (name, content, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const escaper = document.createElement("span");
  const escape = (value) => {
    const given = String(value ?? "");
    if (!/[<>&"]/.test(given)) return given; // nearly always, and a search escapes every text of a table
    escaper.textContent = given;
    return escaper.innerHTML.replaceAll('"', "&quot;");
  };
  const idle = () => new Promise((done) => (window.requestIdleCallback || setTimeout)(done, { timeout: 200 }));
  return { read, bytes, unpack, save, escape, idle };
})();
