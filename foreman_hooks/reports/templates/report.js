"use strict";
(() => {
  const PORTION = 100, ROW_HEIGHT = 60, PAUSE = 150, LONG = 1000;
  const RANK = {delete: "0", wait: "1", keep: "2"};
  const table = document.getElementById("records"), shown = document.getElementById("shown");
  const text = document.getElementById("text"), verdict = document.getElementById("verdict");
  const long = table.classList.contains("portions"), heads = [...table.tHead.rows[0].cells];
  const links = [...document.querySelectorAll("[data-show]")];
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
    const key = (row) => column === 3 && RANK[row.words[3]] || row.words[column];
    const groups = new Map();
    for (const row of all) {
      const group = groups.get(key(row));
      if (group) group.push(row); else groups.set(key(row), [row]);
    }
    const keys = [...groups.keys()].sort(column === 1 ? (a, b) => a - b : column === 2 ? undefined : order.compare);
    if (descending) keys.reverse();
    sorted = keys.flatMap((text) => groups.get(text));
  }

  // The verdict is a group of records, which is the class of their rows, or a reason.
  function matching() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean), wanted = verdict.value;
    return rows().filter((row) => (!wanted || row.element.className === wanted || row.words[4] === wanted)
      && words.every((word) => row.text.includes(word)));
  }

  function show() {
    clearTimeout(pause);
    const matches = matching(), bodies = [];
    for (let start = 0; start < matches.length; start += PORTION) {
      const body = document.createElement("tbody"), portion = matches.slice(start, start + PORTION);
      if (long) body.style.containIntrinsicBlockSize = `auto ${portion.length * ROW_HEIGHT}px`;
      body.append(...portion.map((row) => row.element));
      bodies.push(body);
    }
    for (const body of [...table.tBodies]) body.remove();
    table.append(...bodies);
    if (long) {     // Chromium hides from screen readers what is not laid out, so a few rows are laid out completely
      table.classList.toggle("portions", matches.length > LONG);
      table.setAttribute("aria-rowcount", matches.length + 1);
    }
    tell(matches.length);
  }

  function tell(count) {
    const of = count === all.length ? "" : ` of ${number.format(all.length)}`;
    const words = of && text.value.trim() ? `, with “${text.value.trim()}”` : "";
    const label = verdict.value ? `: ${verdict.selectedOptions[0].textContent.replace(/^– | \([\d,]+\)$/g, "")}` : "";
    shown.textContent = `${number.format(count)}${of} records shown${label}${words}`;
    for (const link of links) {
      const row = link.closest(".legend tr");
      if (!row) continue;
      if (link.dataset.show === verdict.value) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
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
  for (const link of links) {       // the browser itself then goes to the table
    link.addEventListener("click", () => {
      text.value = "";
      verdict.value = link.dataset.show;
      if (verdict.selectedIndex < 0) verdict.selectedIndex = 0;
      show();
    });
  }
  text.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(show, PAUSE); });
  verdict.addEventListener("change", show);
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
  form.addEventListener("reset", () => setTimeout(show));
  form.hidden = false;
  if (text.value || verdict.value) show();     // on a reload, browsers keep what was typed
})();
