"use strict";

// Sorting: a heading becomes a button; numbers by data-v, largest first; cells without a value stay last.
function value(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  return cell.classList.contains("none") ? null : cell.textContent;
}

function sort(table, column, heading) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const numeric = rows.some((row) => row.cells[column].dataset.v !== undefined);
  const before = heading.getAttribute("aria-sort");
  const down = before ? before === "ascending" : numeric;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  rows.sort((first, second) => {
    const a = value(first, column), b = value(second, column);
    if (a === null || b === null) return (a === null) - (b === null);
    return (down ? -1 : 1) * (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, column, heading));
    heading.append(button);
  });
}

// Two runs: what differs in configuration, and all numbers.
const data = document.getElementById("data");
if (data) {
  const runs = JSON.parse(data.textContent);
  const selects = ["first", "second"].map((id) => document.getElementById(id));
  const text = (x, digits, sign) =>
    x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: sign });
  const show = () => {
    const [a, b] = selects.map((select) => runs[select.value]);
    const lines = [["", a.name, b.name, "Second minus first"]];
    const keys = (kind) => new Set([...Object.keys(a[kind]), ...Object.keys(b[kind])]);
    for (const key of keys("fields")) {
      const x = a.fields[key] ?? "-", y = b.fields[key] ?? "-";
      if (x !== y) lines.push([key, x, y, ""]);
    }
    for (const key of keys("numbers")) {
      const x = a.numbers[key], y = b.numbers[key];
      const both = x && y ? text(y[0] - x[0], x[1], "exceptZero") : "";
      lines.push([key, x ? text(...x, "auto") : "-", y ? text(...y, "auto") : "-", both]);
    }
    const table = document.getElementById("difference");
    table.replaceChildren();
    for (const line of lines) {
      const row = table.insertRow();
      line.forEach((content, column) => {
        const cell = document.createElement(column === 0 || line === lines[0] ? "th" : "td");
        cell.textContent = content;
        if (column) cell.className = "n";
        row.append(cell);
      });
    }
  };
  selects.forEach((select, place) => {
    runs.forEach((run, index) => select.add(new Option(run.name, index)));
    select.value = place ? runs.length - 1 : 0;
    select.addEventListener("change", show);
  });
  show();
}
