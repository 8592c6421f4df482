"use strict";
/* Headings become buttons that sort, and the two fields leave the rows whose names hold all words. */
const board = document.querySelector(".board");
const body = board.tBodies[0];
const all = [...body.rows];

function value(row, column) {
  const cell = row.cells[column], number = cell.dataset.number ?? cell.textContent;
  return number.trim() === "" || isNaN(number) ? cell.textContent : Number(number);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sort(heading, column) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of board.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const missing = (row) => row.cells[column].textContent.trim() === "–";
  all.sort((a, b) => missing(a) - missing(b)
    || (down ? -1 : 1) * compare(value(a, column), value(b, column)));
  body.append(...all);
}

[...board.tHead.rows[0].cells].forEach((heading, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  button.addEventListener("click", () => sort(heading, column));
  heading.replaceChildren(button);
});

const fields = ["network", "method"].map((id) => document.getElementById(id));
function filter() {
  const words = fields.map((field) => field.value.toLowerCase().split(/\s+/).filter(Boolean));
  let shown = 0;
  for (const row of all) {
    const holds = words.every((own, column) =>
      own.every((word) => row.cells[column].textContent.toLowerCase().includes(word)));
    row.hidden = !holds;
    shown += holds;
  }
  document.getElementById("count").textContent = `${shown} of ${all.length} rows`;
}
for (const field of fields) field.addEventListener("input", filter);
