'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { REQUEST_METRICS: METRICS } = require('../bench/metrics.js');
const { compare, summarise } = require('../bench/summary.js');
const { formatCase } = require('../bench/table.js');

const AGENTS = ['before', 'offloop'];

/** A turn in which all metrics of offloop are those of the other build times a factor. */
const turn = (factor, figure = 100) => {
  const figures = (value) => Object.fromEntries(METRICS.map(({ key }) => [key, value]));
  return { before: figures(figure), offloop: figures(figure === null ? null : figure * factor) };
};

const format = (turns) =>
  formatCase(
    {
      title: 'a case',
      agents: AGENTS,
      summary: summarise(turns, AGENTS, METRICS),
      failures: { before: {}, offloop: {} },
      comparison: compare(turns, 'offloop', 'before', METRICS),
      verdicts: [],
    },
    METRICS,
  );

describe('the comparison of two builds', () => {
  it('takes the ratio within each turn, whatever the figures themselves do', () => {
    const turns = [0.8, 0.9, 0.9, 1.0, 0.9, 0.85, 0.9].map((factor, i) => turn(factor, 10 ** i));
    const { rate } = compare(turns, 'offloop', 'before', METRICS);
    assert.strictEqual(rate.median.toFixed(6), '0.900000');
    assert.deepStrictEqual([rate.interval.low.toFixed(2), rate.interval.high.toFixed(2)], ['0.80', '1.00']);
    assert.strictEqual(rate.turns, 7);
  });

  it('leaves out and counts the turns without a figure', () => {
    const turns = [...Array(6).fill(turn(1.5)), turn(1, null)];
    const { p50 } = compare(turns, 'offloop', 'before', METRICS);
    assert.deepStrictEqual(p50, { median: 1.5, interval: { low: 1.5, high: 1.5 }, turns: 6 });
  });

  it('reads the interval by whether more or less is better', () => {
    const slower = format(Array(6).fill(turn(0.9)));
    assert.match(slower, /requests\/s \(more\) +x0\.900 +0\.900-0\.900 +6 +worse/);
    assert.match(slower, /latency p50, ms \(less\) +x0\.900 +0\.900-0\.900 +6 +better/);
    const faster = format(Array(6).fill(turn(1.1)));
    assert.match(faster, /requests\/s \(more\) +x1\.100 .*better/);
    assert.match(faster, /latency p50, ms \(less\) +x1\.100 .*worse/);
  });

  it('tells nothing apart by an interval that spans 1, or from too few turns', () => {
    const mixed = [0.9, 0.95, 1, 1.05, 1.1, 1].map((factor) => turn(factor));
    assert.match(format(mixed), /requests\/s \(more\) +x1\.000 +0\.900-1\.100 +6 +not told apart/);
    assert.match(format(mixed.slice(1)), /requests\/s \(more\) +x1\.000 +- +5 +too few turns/);
  });
});
