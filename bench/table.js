'use strict';

const { AGENTS, BASELINE, BEFORE } = require('./agents');
const { align } = require('./align');
const { countFailures } = require('./summary');
const { SUBJECT } = require('./targets');

/** One case as text: metrics down, agents across, targets last; then the two builds, if there are two. */
function formatCase({ title, agents, summary, failures, comparison, verdicts }, metrics) {
  const measured = metrics.filter(({ key }) => agents.some((agent) => summary[agent][key].median !== null));
  const rows = [
    [title, ...agents.map((agent) => AGENTS[agent].title), 'target'],
    ...measured.map((metric) => [
      titleOf(metric),
      ...agents.map((agent) => formatCell(summary[agent][metric.key], metric)),
      formatVerdict(verdicts.find((one) => one.metric === metric.key && !isExtra(one))),
    ]),
    ...verdicts
      .filter(isExtra)
      .map((verdict) => [
        `${metrics.find(({ key }) => key === verdict.metric).title} to ${AGENTS[verdict.against].title}`,
        ...agents.map((agent) => (agent === SUBJECT ? formatRatio(verdict.value) : '')),
        formatVerdict(verdict),
      ]),
    ['failed requests', ...agents.map((agent) => String(countFailures(failures[agent]))), ''],
  ];
  return [
    align(verdicts.length > 0 ? rows : rows.map((row) => row.slice(0, -1))),
    ...formatFailures(agents, failures),
    ...(comparison ? ['', formatComparison(comparison, metrics)] : []),
  ].join('\n');
}

/** The ratios to the baseline stand in the metric's own row; one to another candidate needs a row. */
function isExtra({ against }) {
  return against !== null && against !== BASELINE;
}

function titleOf({ title, better }) {
  return better === undefined ? title : `${title} (${better})`;
}

function formatCell({ median, ratio }, { digits }) {
  if (median === null) return '-';
  const value = median.toFixed(digits);
  return ratio === null ? value : `${value}  ${formatRatio(ratio)}`;
}

function formatRatio({ median, min, max }) {
  return `x${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
}

function formatVerdict(verdict) {
  return verdict === undefined ? '' : `${formatTarget(verdict)}  ${verdict.met ? 'met' : 'NOT MET'}`;
}

function formatTarget({ against, atLeast, atMost }) {
  const sign = atLeast === undefined ? '≤' : '≥';
  return `${sign} ${against === null ? '' : 'x'}${atLeast ?? atMost}`;
}

function formatFailures(agents, failures) {
  return agents.flatMap((agent) =>
    Object.entries(failures[agent]).map(([text, count]) => `  ${AGENTS[agent].title}: ${count} x ${text}`),
  );
}

function formatComparison(comparison, metrics) {
  const rows = [
    [`${AGENTS.offloop.title} / ${AGENTS[BEFORE].title}`, 'median', '95 % interval', 'turns', 'reads'],
    ...metrics
      .filter(({ key }) => key in comparison)
      .map((metric) => {
        const { median, interval, turns } = comparison[metric.key];
        return [
          titleOf(metric),
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

module.exports = { formatCase, formatTarget };
