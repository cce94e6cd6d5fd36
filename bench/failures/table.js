'use strict';

const { align } = require('../align');
const { CANDIDATES } = require('./agents');

/** One row of the benchmark as text: candidates down, figures across. */
function formatRow({ title, agents }) {
  const names = Object.keys(agents);
  const rows = [
    [
      title,
      'failed per 10,000',
      'failed',
      'of',
      'after turn 1',
      'failed but processed',
      'processed twice',
      'connections',
      'requests',
    ],
    ...names.map((name) => {
      const { failed, trials, failedLater, lost, twice, connections, requests, ...figure } = agents[name];
      const counts = [failed, trials, failedLater, lost, twice, connections, requests].map(String);
      return [CANDIDATES[name].title, formatShare(figure), ...counts];
    }),
  ];
  const messages = names.flatMap((name) => [
    ...formatFailures(name, agents[name].failures, ''),
    ...formatFailures(name, agents[name].openingFailures, ', as the first request of its connection'),
  ]);
  return [align(rows), ...messages].join('\n');
}

function formatFailures(name, failures, where) {
  return Object.entries(failures).map(
    ([text, count]) => `  ${CANDIDATES[name].title}: ${count} x ${text}${where}`,
  );
}

function formatShare({ perTenThousand, interval }) {
  if (perTenThousand === null) return '-';
  const [value, low, high] = [perTenThousand, interval.low, interval.high].map((number) => number.toFixed(0));
  return `${value} (${low}-${high})`;
}

/** All call sites together: situations down, candidates across. */
function formatTotals(totals, names) {
  return align([
    ['all call sites, failed per 10,000', ...names.map((name) => CANDIDATES[name].title)],
    ...Object.entries(totals).map(([title, figures]) => [
      title,
      ...names.map((name) => (figures[name] ? formatShare(figures[name]) : '-')),
    ]),
  ]);
}

module.exports = { formatRow, formatTotals };
