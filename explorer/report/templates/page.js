"use strict";
// Adds to the page: sorting, following a layer through all figures, comparing candidates. Without it all is readable.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // Sorting: numbers by their exact value, texts as words; the same column again turns the order round.
  const sort = (table, heading, index) => {
    const downwards = heading.getAttribute("aria-sort") !== "descending";
    const number = heading.classList.contains("number");
    const value = (row) => {
      const cell = row.cells[index];
      if (!number) return cell.textContent;
      return cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value);
    };
    const order = (a, b) => (number ? value(a) - value(b) : value(a).localeCompare(value(b)));
    const rows = [...table.tBodies[0].rows].sort((a, b) => (downwards ? order(b, a) : order(a, b)));
    table.tBodies[0].append(...rows);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", downwards ? "descending" : "ascending");
  };
  for (const table of all("table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, index) => {
      const button = make("button", heading.textContent, { type: "button" });
      heading.replaceChildren(button);
      button.addEventListener("click", () => sort(table, heading, index));
    });
  }

  // A layer is followed by its number through tables, marks and cards.
  const pick = (number) => {
    for (const element of all("[data-layer]")) element.classList.toggle("picked", element.dataset.layer === number);
    const card = document.getElementById(`layer-${number}`);
    if (card) card.open = true;
    if (chooser) chooser.value = number;
  };
  const cards = all("details[data-layer]");
  let chooser = null;
  if (cards.length) {
    const tools = make("div", "", { id: "tools" });
    const label = make("label", "Follow a layer through all figures: ", { for: "chooser" });
    chooser = make("select", "", { id: "chooser" });
    chooser.append(make("option", "none", { value: "" }));
    for (const card of cards) chooser.append(make("option", card.querySelector("h3").textContent, { value: card.dataset.layer }));
    chooser.addEventListener("change", () => pick(chooser.value));
    tools.append(label, chooser);
    document.querySelector("main section").append(tools);
  }
  document.addEventListener("click", (event) => {
    const mark = event.target.closest(".mark[data-layer], .graph a[data-layer]");
    if (mark) pick(mark.dataset.layer);
  });
  const openTarget = () => {
    const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (card && card.matches("details")) pick(card.dataset.layer);
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();

  // Candidates that are ticked stand side by side at the bottom, each beside the first.
  const ticked = new Map();
  const comparison = make("aside", "", { id: "comparison", "aria-label": "Candidates compared", hidden: "" });
  document.body.append(comparison);
  const compare = () => {
    comparison.hidden = ticked.size < 2;
    const table = make("table", "");
    const rows = [...ticked.values()];
    if (rows.length < 2) return;
    const [first] = rows;
    first.names.forEach((name, index) => {
      const line = table.insertRow();
      line.append(make("th", name, { scope: "row" }));
      for (const row of rows) {
        const own = Number(row.values[index]), base = Number(first.values[index]);
        const many = row.values[index] && base > 0 && row !== first;
        line.append(make("td", row.texts[index] + (many ? ` (${(own / base).toPrecision(3)} times the first)` : "")));
      }
    });
    const clear = make("button", "clear", { type: "button" });
    clear.addEventListener("click", () => {
      for (const box of all("table.candidates input")) box.checked = false;
      ticked.clear();
      compare();
    });
    comparison.replaceChildren(make("strong", "Candidates compared "), clear, table);
  };
  for (const table of all("table.candidates")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    table.tHead.rows[0].append(make("th", "compare", { scope: "col", class: "pick" }));
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells];
      const entry = {
        names,
        texts: cells.map((cell) => cell.textContent),
        values: cells.map((cell) => cell.dataset.value || ""),
      };
      const box = make("input", "", { type: "checkbox", "aria-label": `compare ${entry.texts.slice(0, 3).join(" ")}` });
      box.addEventListener("change", () => {
        if (box.checked) ticked.set(box, entry);
        else ticked.delete(box);
        compare();
      });
      const cell = make("td", "", { class: "pick" });
      cell.append(box);
      row.append(cell);
    }
  }
})();
