'use strict';

/** Rows of cells as text: the first row is the heading, the first column is flush left, the others flush right. */
function align(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const [heading, ...body] = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column] + 3)))
      .join(''),
  );
  return [heading, '-'.repeat(heading.length), ...body].join('\n');
}

module.exports = { align };
