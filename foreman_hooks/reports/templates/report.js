"use strict";
(() => {
  const PORTION = 100, ROW_HEIGHT = 37, PAUSE = 150, LONG = 1000;
  const RANK = {delete: "0", wait: "1", keep: "2"};
  const table = document.getElementById("records"), shown = document.getElementById("shown");
  const text = document.getElementById("text"), decision = document.getElementById("decision");
  const long = table.classList.contains("long"), heads = [...table.tHead.rows[0].cells];
  const number = new Intl.NumberFormat("en"), order = new Intl.Collator("en", {numeric: true});
  let all = null, sorted = null, column = -1, descending = false, pause = 0;

  // The rows with their texts, in the order of the page; read on first use, so that a long page opens at once.
  function rows() {
    if (!all) {
      all = [...table.tBodies].flatMap((body) => [...body.rows]).map((element) => (
        {element, words: Array.from(element.cells, (cell) => cell.textContent.trim())}));
      for (const row of all) row.text = row.words.join("\n").toLowerCase();
      sorted = all;
    }
    return sorted;
  }

  // Many texts are equal (decisions, reasons), so only distinct texts are compared.
  function sort() {
    rows();
    const key = (row) => column === 3 ? RANK[row.words[3]] : row.words[column];
    const groups = new Map();
    for (const row of all) {
      const group = groups.get(key(row));
      if (group) group.push(row); else groups.set(key(row), [row]);
    }
    const keys = [...groups.keys()].sort(column === 1 ? (a, b) => a - b : column === 2 ? undefined : order.compare);
    if (descending) keys.reverse();
    sorted = keys.flatMap((text) => groups.get(text));
  }

  function matching() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean), wanted = decision.value;
    return rows().filter((row) => (!wanted || row.words[3] === wanted) && words.every((word) => row.text.includes(word)));
  }

  function show() {
    clearTimeout(pause);
    const matches = matching(), bodies = [];
    for (let start = 0; start < matches.length; start += PORTION) {
      const body = document.createElement("tbody"), portion = matches.slice(start, start + PORTION);
      if (long) {
        body.setAttribute("role", "rowgroup");
        body.style.containIntrinsicBlockSize = `auto ${portion.length * ROW_HEIGHT}px`;
      }
      body.append(...portion.map((row) => row.element));
      bodies.push(body);
    }
    for (const body of [...table.tBodies]) body.remove();
    table.append(...bodies);
    if (long) {     // Chromium hides from screen readers what is not laid out, so a few rows are laid out completely
      table.classList.toggle("portions", matches.length > LONG);
      table.setAttribute("aria-rowcount", matches.length + 1);
    }
    const of = matches.length === all.length ? "" : ` of ${number.format(all.length)}`;
    const words = of && text.value.trim() ? `, with “${text.value.trim()}”` : "";
    shown.textContent = `${number.format(matches.length)}${of} records shown${words}`
      + (decision.value ? `, to ${decision.value}` : "");
  }

  for (const [index, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => {
      descending = column === index && !descending;
      column = index;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort();
      show();
    });
    head.replaceChildren(button);
  }
  text.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(show, PAUSE); });
  decision.addEventListener("change", show);
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
  form.addEventListener("reset", () => setTimeout(show));
  form.hidden = false;
  if (text.value || decision.value) show();     // on a reload, browsers keep what was typed
})();
