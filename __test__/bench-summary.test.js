'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { shareOfOthers } = require('../bench/neighbours.js');
const { percentile, percentiles } = require('../bench/percentile.js');
const { bySeries, toJson } = require('../bench/report.js');
const { addFailures, median, ratios, spread, summarise } = require('../bench/summary.js');

const METRICS = [
  { key: 'rate', title: 'requests/s', better: 'more', digits: 0 },
  { key: 'idleCpu', title: 'CPU when idle', digits: 2 },
];

const turn = (builtin, offloop) => ({
  builtin: { rate: builtin, idleCpu: 0 },
  offloop: { rate: offloop, idleCpu: 1 },
});

describe('a percentile', () => {
  it('is a value that was met, by nearest rank', () => {
    const values = Array.from({ length: 1000 }, (_, i) => 1000 - i);
    assert.deepStrictEqual(percentiles(values), { p50: 500, p99: 990, p999: 999 });
    assert.deepStrictEqual(percentiles([10, 9]), { p50: 9, p99: 10, p999: 10 });
    assert.strictEqual(percentile([1, 2, 3], 0), 1);
  });

  it('is not there when nothing was measured', () => {
    assert.deepStrictEqual(percentiles([]), { p50: null, p99: null, p999: null });
  });
});

describe('the median', () => {
  it('is by number, of an even count the middle of two, and leaves its argument as it was', () => {
    const values = [10, 9, 100, 1];
    assert.strictEqual(median(values), 9.5);
    assert.strictEqual(median([10, 9, 100]), 10);
    assert.strictEqual(median([]), null);
    assert.deepStrictEqual(values, [10, 9, 100, 1]);
  });
});

describe('the summary of turns', () => {
  it('has the median of the ratios of each turn, not the ratio of the medians', () => {
    const { offloop } = summarise(
      [turn(100, 300), turn(1000, 1000), turn(10, 20)],
      ['builtin', 'offloop'],
      METRICS,
    );
    assert.strictEqual(offloop.rate.median, 300);
    assert.deepStrictEqual(offloop.rate.ratio, { median: 2, min: 1, max: 3 });
  });

  it('gives no ratio to the baseline itself, nor of metrics that are conditions', () => {
    const { builtin, offloop } = summarise([turn(100, 300)], ['builtin', 'offloop'], METRICS);
    assert.deepStrictEqual(builtin.rate, { median: 100, ratio: null });
    assert.deepStrictEqual(offloop.idleCpu, { median: 1, ratio: null });
  });

  it('leaves out what has no ratio: failed slices, absent agents, nothing, less than nothing', () => {
    const turns = [
      turn(100, null),
      turn(null, 100),
      turn(0, 100),
      turn(-5, 100),
      turn(100, -5),
      turn(50, 100),
    ];
    assert.deepStrictEqual(ratios(turns, 'rate', 'offloop', 'builtin'), [2]);
    assert.deepStrictEqual(ratios(turns, 'rate', 'offloop', 'undici'), []);
    assert.strictEqual(spread([]), null);
  });

  it('adds up failures by message', () => {
    const slices = [
      { failures: { ECONNRESET: 1 } },
      { failures: { ECONNRESET: 2, late: 1 } },
      { failures: {} },
    ];
    assert.deepStrictEqual(addFailures(slices), { ECONNRESET: 3, late: 1 });
  });
});

describe('the report', () => {
  it('has every turn of each metric', () => {
    assert.deepStrictEqual(bySeries([turn(1, 2), turn(3, 4)], ['builtin', 'offloop'], METRICS), {
      builtin: { rate: [1, 3], idleCpu: [0, 0] },
      offloop: { rate: [2, 4], idleCpu: [1, 1] },
    });
  });

  it('says no more digits than were measured, and keeps counts', () => {
    assert.deepStrictEqual(JSON.parse(toJson({ rate: 12345.678, ratio: 0.123456789, count: 1234567 })), {
      rate: 12346,
      ratio: 0.12346,
      count: 1234567,
    });
  });
});

describe('the share of the CPUs that others had', () => {
  const before = { total: 1000, used: 500, own: 100 };

  it('is what was used and not by this run', () => {
    assert.strictEqual(shareOfOthers(before, { total: 1200, used: 650, own: 200 }), 0.25);
  });

  it('is a share, whatever the granularity of the books makes of it', () => {
    assert.strictEqual(shareOfOthers(before, { total: 1200, used: 600, own: 210 }), 0);
    assert.strictEqual(shareOfOthers(before, before), null);
    assert.strictEqual(shareOfOthers(null, null), null);
  });
});
