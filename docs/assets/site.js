// A phone shows each row of a table as a block of its own; its cells then need the names of their columns.
for (const table of document.querySelectorAll("article table:not([class])")) {
  const heads = [...table.querySelectorAll("thead th")].map(head => head.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr"))
    [...row.cells].forEach((cell, column) => { if (column) cell.dataset.column = heads[column]; });
}
