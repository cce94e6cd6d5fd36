'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { medianInterval, proportionInterval } = require('../bench/interval.js');

const upTo = (n) => Array.from({ length: n }, (_, i) => i + 1);

describe('the interval of a median', () => {
  // Ranks from the usual tables for the sign test, two-sided, 95 %.
  for (const [n, low, high] of [
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [11, 2, 10],
    [12, 3, 10],
    [15, 4, 12],
    [20, 6, 15],
    [25, 8, 18],
    [50, 18, 33],
  ]) {
    it(`of ${n} values goes from rank ${low} to rank ${high}`, () => {
      assert.deepStrictEqual(medianInterval(upTo(n)), { low, high });
    });
  }

  it('is not given for fewer than six values', () => {
    for (const n of [0, 1, 5]) assert.strictEqual(medianInterval(upTo(n)), null);
  });

  it('sorts by number, and leaves its argument as it was', () => {
    const values = [10, 9, 1, 2, 30, 100];
    assert.deepStrictEqual(medianInterval(values), { low: 1, high: 100 });
    assert.deepStrictEqual(values, [10, 9, 1, 2, 30, 100]);
  });
});

describe('the interval of a probability', () => {
  const rounded = ({ low, high }) => [low.toFixed(4), high.toFixed(4)];

  it('is that of Wilson', () => {
    // Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    assert.deepStrictEqual(rounded(proportionInterval(81, 263)), ['0.2553', '0.3662']);
    assert.deepStrictEqual(rounded(proportionInterval(15, 148)), ['0.0624', '0.1605']);
    assert.deepStrictEqual(rounded(proportionInterval(0, 20)), ['0.0000', '0.1611']);
    assert.deepStrictEqual(rounded(proportionInterval(1, 29)), ['0.0061', '0.1718']);
  });

  it('reaches 0 and 1 exactly, and says little after few trials', () => {
    assert.strictEqual(proportionInterval(0, 7).low, 0);
    assert.strictEqual(proportionInterval(7, 7).high, 1);
    assert.ok(proportionInterval(7, 7).low < 0.7);
  });
});
