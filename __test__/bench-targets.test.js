'use strict';

const assert = require('node:assert');
const { describe, it } = require('node:test');

const { AGENTS } = require('../bench/agents.js');
const { CASES } = require('../bench/cases.js');
const { summarise } = require('../bench/summary.js');
const { formatCase } = require('../bench/table.js');
const { SUBJECT, TARGETS } = require('../bench/targets.js');
const { judge } = require('../bench/verdicts.js');

const METRICS = [
  { key: 'rate', title: 'requests/s', better: 'more', digits: 0 },
  { key: 'cpu', title: 'CPU', better: 'less', digits: 0 },
];
const TO_BASELINE = { id: 'a', metric: 'rate', against: 'builtin', atLeast: 2 };
const TO_UNDICI = { id: 'a', metric: 'rate', against: 'undici', atLeast: 1.3 };
const ABSOLUTE = { id: 'a', metric: 'cpu', against: null, atMost: 5 };

const turn = (builtin, undici, offloop, cpu = 5) => ({
  builtin: { rate: builtin, cpu },
  undici: { rate: undici, cpu },
  offloop: { rate: offloop, cpu },
});

const metOf = (verdicts) => verdicts.map(({ met }) => met);

describe('a target', () => {
  it('is met by the median of the ratios within the turns', () => {
    const turns = [turn(100, 100, 150), turn(10, 100, 20), turn(1000, 100, 9000)];
    assert.deepStrictEqual(judge('a', turns, [TO_BASELINE]), [
      { ...TO_BASELINE, value: { median: 2, min: 1.5, max: 9 }, met: true },
    ]);
    assert.deepStrictEqual(metOf(judge('a', turns.slice(0, 1), [TO_BASELINE])), [false]);
  });

  it('may be about another candidate than the baseline', () => {
    assert.deepStrictEqual(metOf(judge('a', [turn(1, 100, 129)], [TO_UNDICI])), [false]);
    assert.deepStrictEqual(metOf(judge('a', [turn(1, 100, 131)], [TO_UNDICI])), [true]);
  });

  it('may be about the figure itself', () => {
    assert.deepStrictEqual(metOf(judge('a', [turn(1, 1, 1, 5)], [ABSOLUTE])), [true]);
    assert.deepStrictEqual(metOf(judge('a', [turn(1, 1, 1, 5.1)], [ABSOLUTE])), [false]);
  });

  it('is not judged where the run has nothing to compare', () => {
    assert.deepStrictEqual(judge('b', [turn(1, 1, 1)], [TO_BASELINE]), []);
    assert.deepStrictEqual(judge('a', [{ offloop: { rate: 1 } }], [TO_BASELINE, TO_UNDICI, ABSOLUTE]), []);
    assert.deepStrictEqual(judge('a', [turn(null, null, 1)], [TO_BASELINE, TO_UNDICI]), []);
  });

  it('names a case, a metric of it and a candidate that exist', () => {
    for (const { id, metric, against, atLeast, atMost } of TARGETS) {
      const metrics = CASES.find((one) => one.id === id)?.metrics;
      const found = metrics?.find(({ key }) => key === metric);
      assert.ok(found, `${id}: ${metric}`);
      assert.ok(against === null || against in AGENTS, `${id}: ${against}`);
      // A bound on the wrong side would be met by what is worst.
      assert.strictEqual(found.better === 'more' ? atMost : atLeast, undefined, `${id}: ${metric}`);
      assert.ok((atLeast ?? atMost) > 0);
    }
    assert.ok(SUBJECT in AGENTS);
  });
});

describe('the table', () => {
  const agents = ['builtin', 'undici', 'offloop'];
  const format = (turns) =>
    formatCase(
      {
        title: 'a case',
        agents,
        summary: summarise(turns, agents, METRICS),
        failures: { builtin: {}, undici: {}, offloop: { ECONNRESET: 3 } },
        verdicts: judge('a', turns, [TO_BASELINE, TO_UNDICI, ABSOLUTE]),
      },
      METRICS,
    );

  it('prints each target beside the figure, whether it is met or not', () => {
    const won = format([turn(100, 100, 200)]);
    assert.match(won, /^requests\/s \(more\) .* x2\.00 \(2\.00-2\.00\) +≥ x2 {2}met$/m);
    assert.match(won, /^requests\/s to undici.* x2\.00 \(2\.00-2\.00\) +≥ x1\.3 {2}met$/m);
    assert.match(won, /^CPU \(less\) .* ≤ 5 {2}met$/m);
    const lost = format([turn(100, 100, 50, 6)]);
    assert.match(lost, /^requests\/s \(more\) .* x0\.50 \(0\.50-0\.50\) +≥ x2 {2}NOT MET$/m);
    assert.match(lost, /^requests\/s to undici.* ≥ x1\.3 {2}NOT MET$/m);
    assert.match(lost, /^CPU \(less\) .* ≤ 5 {2}NOT MET$/m);
  });

  it('counts failures and says which', () => {
    const text = format([turn(100, 100, 50)]);
    assert.match(text, /^failed requests +0 +0 +3 *$/m);
    assert.match(text, /^ {2}offloop: 3 x ECONNRESET$/m);
  });
});
