'use strict';

const { AGENTS } = require('./agents');
const { METRICS, countFailures } = require('./summary');

/** One case as text: metrics down, agents across. */
function formatCase({ title, agents, summary, failures }) {
  const rows = [
    [title, ...agents.map((agent) => AGENTS[agent].title)],
    ...METRICS.map((metric) => [
      `${metric.title} (${metric.better})`,
      ...agents.map((agent) => formatCell(summary[agent][metric.key], metric)),
    ]),
    ['failed requests', ...agents.map((agent) => String(countFailures(failures[agent])))],
  ];
  return [align(rows), ...formatFailures(agents, failures)].join('\n');
}

function formatCell({ median, ratio }, { digits }) {
  if (median === null) return '-';
  const value = median.toFixed(digits);
  if (ratio === null) return value;
  const [middle, min, max] = [ratio.median, ratio.min, ratio.max].map((number) => number.toFixed(2));
  return `${value}  x${middle} (${min}-${max})`;
}

function formatFailures(agents, failures) {
  return agents.flatMap((agent) =>
    Object.entries(failures[agent]).map(([text, count]) => `  ${AGENTS[agent].title}: ${count} x ${text}`),
  );
}

function align(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const [heading, ...body] = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column] + 3)))
      .join(''),
  );
  return [heading, '-'.repeat(heading.length), ...body].join('\n');
}

module.exports = { formatCase };
