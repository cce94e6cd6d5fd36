'use strict';

const { freeSocketTimeout, onTimeTolerance } = require('./settings');

const ms = (value) => (value === undefined ? '-' : value.toFixed(1));

const retriesSeen = (c) =>
  c.retriesInStall + c.retriesLater === 0 ? 'none' : `${c.retriesInStall} / ${c.retriesLater}`;

const requestRows = [
  ['requests', (c) => c.requests],
  ['answered', (c) => c.answered],
  ['failed, avoidable [1]', (c) => c.avoidable],
  ['failed, crossed on the wire, GET [2]', (c) => c.crossedGet],
  ['failed, crossed on the wire, POST [2]', (c) => c.crossedPost],
  ['failed, other', (c) => c.other],
];

const serverRows = [
  ['seen twice by the server, GET', (c) => c.duplicateGet],
  ['seen twice by the server, POST', (c) => c.duplicatePost],
  ['server saw the retries in a stall / later', retriesSeen],
  ['idle limit in a stall: closed on time [4]', (c) => `${c.idleOnTime} of ${c.idleDue}`],
  ['connections opened', (c) => c.connections],
];

const clientRows = [
  ['sent again by the agent', (c) => c.retried],
  ['answers with status 400 or above', (c) => c.errorStatuses],
];

const latencyRows = [
  ['latency p50, ms [3]', (c) => ms(c.p50)],
  ['latency p99, ms [3]', (c) => ms(c.p99)],
];

/** Failures by code: avoidable | crossed | other. */
function codeRows(columns) {
  const codes = [...new Set(columns.flatMap((column) => Object.keys(column.byCode)))].sort();
  return codes.map((code) => [
    `  ${code} (avoidable | crossed | other)`,
    ({ byCode }) => {
      const counts = byCode[code];
      return counts ? `${counts.avoidable} | ${counts.crossed} | ${counts.other}` : '0';
    },
  ]);
}

const notes = (ownServer) => [
  ownServer
    ? '[1] the server had closed the connection before the request was made (its clock, 1 ms for the wire)'
    : "[1] the server's close had arrived before the request was made (Linux: by the kernel; else presumed)",
  '[2] the server closed later, and answered nothing',
  '[3] of answered requests that were not in flight during a stall (what failed has no latency)',
  ...(ownServer
    ? [
        `[4] limit ${freeSocketTimeout} ms, up to ${onTimeTolerance} ms late, by the arrival of the client's FIN`,
      ]
    : []),
];

/** One column per agent, one row per figure. */
function renderTable(columns, { ownServer }) {
  const rows = [
    ...requestRows,
    ...codeRows(columns),
    ...(ownServer ? serverRows : clientRows),
    ...latencyRows,
  ];
  const cells = [['', ...columns.map((c) => c.name)]];
  for (const [label, figure] of rows) cells.push([label, ...columns.map((c) => String(figure(c)))]);

  const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const lines = cells.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('   '),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('   '));
  return [...lines, '', ...notes(ownServer)].join('\n');
}

module.exports = { renderTable };
