'use strict';

const { BASELINE } = require('./agents');
const { medianInterval } = require('./interval');

/**
 * Per agent and metric, the median over the turns and that of the ratios to the baseline. A ratio is taken within
 * one turn, where both sides met the same machine, and only then across turns: on a noisy machine the figures
 * themselves wander more than the agents differ.
 * @param {Array<Record<string, object>>} turns each turn's result by agent
 * @param {string[]} agents
 * @param {import('./metrics').Metric[]} metrics
 */
function summarise(turns, agents, metrics) {
  return Object.fromEntries(
    agents.map((agent) => [
      agent,
      Object.fromEntries(metrics.map((metric) => [metric.key, summariseMetric(turns, agent, metric)])),
    ]),
  );
}

function summariseMetric(turns, agent, { key, better }) {
  return {
    median: median(turns.map((turn) => turn[agent][key]).filter(isMeasured)),
    ratio: agent === BASELINE || better === undefined ? null : spread(ratios(turns, key, agent, BASELINE)),
  };
}

/** Of the turns that have one: a slice without a successful request has no figures to take a ratio with. */
function ratios(turns, key, agent, other) {
  return turns.map((turn) => ratio(turn[agent]?.[key], turn[other]?.[key])).filter(isMeasured);
}

/**
 * Per metric, how an agent compares with another in the same turns: the median of the ratios and its confidence
 * interval. Turns without a ratio are left out, and counted by the difference to all.
 */
function compare(turns, agent, other, metrics) {
  return Object.fromEntries(
    metrics
      .filter(({ better }) => better !== undefined)
      .map(({ key }) => {
        const all = ratios(turns, key, agent, other);
        return [key, { median: median(all), interval: medianInterval(all), turns: all.length }];
      }),
  );
}

function isMeasured(value) {
  return Number.isFinite(value);
}

/** Of what can be negative (memory that shrank) or is nothing there is no ratio. */
function ratio(value, baseline) {
  return isMeasured(value) && isMeasured(baseline) && value >= 0 && baseline > 0 ? value / baseline : null;
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

module.exports = { addFailures, compare, countFailures, isMeasured, median, ratios, spread, summarise };
