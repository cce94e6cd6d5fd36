'use strict';

const DIGITS = 5;

/** A report as JSON. What was measured is not known to more digits than these. */
function toJson(report) {
  const round = (_, value) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(DIGITS)) : value;
  return `${JSON.stringify(report, round, 2)}\n`;
}

/** Each turn's figures by agent and metric: `{ offloop: { rate: [one of each turn] } }`. */
function bySeries(turns, agents, metrics) {
  return Object.fromEntries(
    agents.map((agent) => [
      agent,
      Object.fromEntries(metrics.map(({ key }) => [key, turns.map((turn) => turn[agent][key])])),
    ]),
  );
}

module.exports = { bySeries, toJson };
