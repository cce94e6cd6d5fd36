'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const { Decisions } = require('../lib/connect/decisions');

/** A decision that reads some of its options, and notes each time that it is asked for. */
function counting(read) {
  const decisions = new Decisions();
  const seen = { count: 0 };
  const ask = (options, key = 'key') =>
    decisions.of(key, [options, seen], (given) => {
      seen.count++;
      return { made: read(given) };
    });
  return { ask, seen };
}

test('the same values are the same decision, in whatever objects they stand', () => {
  const { ask, seen } = counting(({ host, port }) => `${host}:${port}`);
  const first = ask({ host: 'a', port: 1 });
  assert.strictEqual(ask({ __proto__: null, port: 1, host: 'a', method: 'GET' }), first);
  assert.strictEqual(seen.count, 1);
  assert.strictEqual(ask({ host: 'a', port: '1' }).made, 'a:1');
  assert.strictEqual(seen.count, 2);
  assert.strictEqual(ask({ host: 'a' }).made, 'a:undefined');
  assert.strictEqual(ask({ host: 'a', port: 1 }), first);
});

test('what is read only in some cases is compared in those', () => {
  const { ask, seen } = counting((options) => (options.path ? options.path : options.host));
  ask({ path: '/p', host: 'a' });
  assert.strictEqual(ask({ path: '/p', host: 'b' }).made, '/p');
  assert.strictEqual(seen.count, 1);
  assert.strictEqual(ask({ host: 'a' }).made, 'a');
  assert.strictEqual(ask({ host: 'b' }).made, 'b');
});

test('an option that is undefined is not one that is missing', () => {
  const { ask } = counting((options) => 'a' in options);
  assert.strictEqual(ask({}).made, false);
  assert.strictEqual(ask({ a: undefined }).made, true);
  assert.strictEqual(ask({}).made, false);
});

test('lists and bytes are compared by what is in them now', () => {
  const { ask, seen } = counting(({ list }) => list.map(String).join());
  const bytes = Buffer.from('a');
  const list = [bytes, 'b'];
  assert.strictEqual(ask({ list }).made, 'a,b');
  assert.strictEqual(ask({ list: [Buffer.from('a'), 'b'] }).made, 'a,b');
  assert.strictEqual(seen.count, 1);
  bytes.write('c');
  assert.strictEqual(ask({ list }).made, 'c,b');
  list.push('d');
  assert.strictEqual(ask({ list }).made, 'c,b,d');
  assert.strictEqual(ask({ list: [Buffer.from('a'), 'b'] }).made, 'a,b');
  assert.strictEqual(seen.count, 3);
});

test('keys are told apart without being kept', () => {
  const { ask } = counting(({ key }) => String(key));
  const key = Buffer.from('secret');
  assert.strictEqual(ask({ key }).made, 'secret');
  key.write('public');
  assert.strictEqual(ask({ key }).made, 'public');
});

test('nothing is kept of options that were read as a whole', () => {
  const { ask, seen } = counting((options) => ({ ...options }));
  ask({ a: 1 });
  assert.deepStrictEqual(ask({ a: 2 }).made, { a: 2 });
  assert.strictEqual(seen.count, 2);
});

test('a decision that fails is not kept', () => {
  const { ask, seen } = counting(({ bad }) => {
    if (bad) throw new RangeError('bad');
  });
  assert.throws(() => ask({ bad: true }), RangeError);
  assert.throws(() => ask({ bad: true }), RangeError);
  assert.strictEqual(seen.count, 2);
});

test('those that were made last are kept, of each key and of all', () => {
  const { ask, seen } = counting(({ value }) => value);
  for (let value = 0; value < 1000; value++) ask({ value }, 'the same');
  ask({ value: 999 }, 'the same');
  assert.strictEqual(seen.count, 1000);
  ask({ value: 0 }, 'the same');
  assert.strictEqual(seen.count, 1001);
  for (let n = 0; n < 1000; n++) ask({ value: 0 }, `key ${n}`);
  seen.count = 0;
  ask({ value: 0 }, 'key 999');
  assert.strictEqual(seen.count, 0);
  ask({ value: 0 }, 'key 0');
  ask({ value: 0 }, 'the same');
  assert.strictEqual(seen.count, 2);
});
