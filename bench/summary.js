'use strict';

const { BASELINE } = require('./agents');
const { medianInterval } = require('./interval');

/** What is compared. `better` is for the reader: every ratio is printed, whichever way it points. */
const METRICS = [
  { key: 'rate', title: 'requests/s', better: 'more', digits: 0 },
  { key: 'mainCpu', title: 'main thread, µs/request', better: 'less', digits: 1 },
  { key: 'processCpu', title: 'whole process, µs/request', better: 'less', digits: 1 },
  { key: 'p50', title: 'latency p50, ms', better: 'less', digits: 3 },
  { key: 'p99', title: 'latency p99, ms', better: 'less', digits: 3 },
  { key: 'loopDelay', title: 'event loop delay p99, ms', better: 'less', digits: 2 },
];

/**
 * Per agent and metric, the median over the turns and that of the ratios to the baseline. A ratio is taken within
 * one turn, where both sides met the same machine, and only then across turns: on a noisy machine the figures
 * themselves wander more than the agents differ.
 * @param {Array<Record<string, object>>} turns each turn's result by agent
 * @param {string[]} agents
 */
function summarise(turns, agents) {
  return Object.fromEntries(
    agents.map((agent) => [
      agent,
      Object.fromEntries(METRICS.map(({ key }) => [key, summariseMetric(turns, agent, key)])),
    ]),
  );
}

function summariseMetric(turns, agent, key) {
  const values = turns.map((turn) => turn[agent][key]);
  const ratios = turns.map((turn) => ratio(turn[agent][key], turn[BASELINE]?.[key]));
  return {
    median: median(values.filter(isMeasured)),
    ratio: agent === BASELINE ? null : spread(ratios.filter(isMeasured)),
  };
}

/**
 * Per metric, how an agent compares with another in the same turns: the median of the ratios and its confidence
 * interval. Turns without a ratio are left out, and counted by the difference to all.
 */
function compare(turns, agent, other) {
  return Object.fromEntries(
    METRICS.map(({ key }) => {
      const ratios = turns.map((turn) => ratio(turn[agent][key], turn[other][key])).filter(isMeasured);
      return [key, { median: median(ratios), interval: medianInterval(ratios), turns: ratios.length }];
    }),
  );
}

/** A slice without a successful request has no figures, and no ratio can be taken with it. */
function isMeasured(value) {
  return Number.isFinite(value);
}

function ratio(value, baseline) {
  return isMeasured(value) && isMeasured(baseline) ? value / baseline : null;
}

function spread(values) {
  if (values.length === 0) return null;
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Failures by message, added up over slices. */
function addFailures(slices) {
  const total = {};
  for (const { failures } of slices) {
    for (const [text, count] of Object.entries(failures)) total[text] = (total[text] ?? 0) + count;
  }
  return total;
}

function countFailures(failures) {
  return Object.values(failures).reduce((sum, count) => sum + count, 0);
}

module.exports = { METRICS, addFailures, compare, countFailures, summarise };
