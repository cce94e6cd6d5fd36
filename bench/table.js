'use strict';

const { AGENTS, BEFORE } = require('./agents');
const { align } = require('./align');
const { METRICS, countFailures } = require('./summary');

/** One case as text: metrics down, agents across; then the two builds, if there are two. */
function formatCase({ title, agents, summary, failures, comparison }) {
  const rows = [
    [title, ...agents.map((agent) => AGENTS[agent].title)],
    ...METRICS.filter(({ key }) => agents.some((agent) => summary[agent][key].median !== null)).map(
      (metric) => [
        `${metric.title} (${metric.better})`,
        ...agents.map((agent) => formatCell(summary[agent][metric.key], metric)),
      ],
    ),
    ['failed requests', ...agents.map((agent) => String(countFailures(failures[agent])))],
  ];
  return [
    align(rows),
    ...formatFailures(agents, failures),
    ...(comparison ? ['', formatComparison(comparison)] : []),
  ].join('\n');
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

function formatComparison(comparison) {
  const rows = [
    [`${AGENTS.offloop.title} / ${AGENTS[BEFORE].title}`, 'median', '95 % interval', 'turns', 'reads'],
    ...METRICS.map((metric) => {
      const { median, interval, turns } = comparison[metric.key];
      return [
        `${metric.title} (${metric.better})`,
        median === null ? '-' : `x${median.toFixed(3)}`,
        interval ? `${interval.low.toFixed(3)}-${interval.high.toFixed(3)}` : '-',
        String(turns),
        reading(interval, metric),
      ];
    }),
  ];
  return align(rows);
}

function reading(interval, { better }) {
  if (interval === null) return 'too few turns';
  if (interval.low <= 1 && interval.high >= 1) return 'not told apart';
  return interval.low > 1 === (better === 'more') ? 'better' : 'worse';
}

module.exports = { formatCase };
