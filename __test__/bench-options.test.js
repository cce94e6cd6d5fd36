'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { CASES } = require('../bench/cases.js');
const { UsageError, readOptions } = require('../bench/options.js');

const idsOf = ({ cases }) => cases.map(({ id }) => id);

describe('the options of the benchmark', () => {
  it('are all cases and candidates but another build, if nothing is said', () => {
    const { agents, cases, charts, failures, publish } = readOptions([]);
    assert.deepStrictEqual(agents, ['builtin', 'agentkeepalive', 'undici', 'offloop']);
    assert.deepStrictEqual(cases, CASES);
    assert.deepStrictEqual([charts, failures, publish], [false, false, false]);
  });

  it('make it shorter with --quick, and it still has all cases', () => {
    const [full, quick] = [readOptions([]), readOptions(['--quick'])];
    assert.ok(quick.turns < full.turns && quick.slice < full.slice);
    assert.deepStrictEqual(idsOf(quick), idsOf(full));
  });

  it('choose: cases by a pattern, turns and slices by number', () => {
    const options = readOptions(['--quick', '--only', '^get-small-', '--turns', '7', '--slice', '30']);
    assert.deepStrictEqual(idsOf(options), ['get-small-1', 'get-small-10', 'get-small-50', 'get-small-200']);
    assert.deepStrictEqual([options.turns, options.slice], [7, 30]);
    assert.deepStrictEqual(readOptions(['--agents', 'offloop,builtin,offloop']).agents, [
      'offloop',
      'builtin',
    ]);
  });

  it('refuse what they do not know, and what does not go together', () => {
    for (const args of [
      ['--only', 'nothing-like-that'],
      ['--only', '('],
      ['--agents', 'nobody'],
      ['--agents', 'before'],
      ['--turns', '0'],
      ['--turns', '1.5'],
      ['--slice', '-1'],
      ['--server', 'apache'],
      ['--nonsense'],
      ['--charts', '--quick'],
      ['--publish', '--quick'],
      ['--publish', '--only', 'small'],
      ['--publish', '--agents', 'offloop'],
      ['--publish', '--before', '.'],
      ['--publish', '--failures'],
    ]) {
      assert.throws(() => readOptions(args), UsageError, args.join(' '));
    }
  });

  it('let a whole run be published, or its charts be drawn', () => {
    assert.strictEqual(readOptions(['--publish', '--turns', '20']).publish, true);
    assert.strictEqual(readOptions(['--charts']).charts, true);
  });
});

describe('the cases', () => {
  it('have names of their own, and metrics that have keys of their own', () => {
    const ids = CASES.map(({ id }) => id);
    assert.strictEqual(new Set(ids).size, ids.length);
    for (const { metrics } of CASES) {
      const keys = metrics.map(({ key }) => key);
      assert.strictEqual(new Set(keys).size, keys.length);
    }
  });
});
