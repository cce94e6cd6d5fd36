'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const account = require('../lib/crossing/account');
const records = require('../lib/crossing/records');

const read = (file) => fs.readFileSync(path.join(__dirname, '..', 'src', file), 'utf8');
const RECORDS = read('binding/records.rs');
const ERROR = read('error.rs');
const FACTS = read('pool/facts.rs');

/** The integer constants of a module of records.rs. */
function constants(name) {
  const [, body] = new RegExp(`^pub mod ${name} \\{\\n([^]*?)^\\}`, 'm').exec(RECORDS);
  const found = [...body.matchAll(/^ +pub const (\w+): i32 = (\d+);/gm)];
  assert.strictEqual(
    found.length,
    body.match(/pub const/g).length,
    `a constant of ${name} was not understood`,
  );
  return Object.fromEntries(found.map(([, key, value]) => [key, Number(value)]));
}

/** The variants of the enum of close reasons, named as JavaScript does. */
function closeReasons() {
  const [, body] = /^pub enum CloseReason \{\n([^]*?)^\}/m.exec(ERROR);
  const found = [...body.matchAll(/^ +(\w+) = (\d+),/gm)];
  const constant = (variant) => variant.replace(/(?<!^)[A-Z]/g, '_$&').toUpperCase();
  return Object.fromEntries(found.map(([, variant, value]) => [constant(variant), Number(value)]));
}

test('rows have the same width on both sides', () => {
  for (const name of ['OP_WIDTH', 'EVENT_WIDTH']) {
    const [, width] = new RegExp(`pub const ${name}: usize = (\\d+);`).exec(RECORDS);
    assert.strictEqual(Number(width), records.ROW_WIDTH);
  }
});

test('what is asked of Rust has the same numbers', () => {
  // Cold requests come by a call of their own: JavaScript never writes their row.
  const { COLD, ...written } = constants('op');
  assert.strictEqual(COLD, 0);
  assert.deepStrictEqual(records.op, written);
  assert.deepStrictEqual(records.opFlag, constants('op_flag'));
});

test('what Rust reports has the same numbers', () => {
  assert.deepStrictEqual(records.event, constants('event'));
  assert.deepStrictEqual(records.rebound, constants('rebound'));
});

test('every flag of an event is known to JavaScript', () => {
  assert.deepStrictEqual(records.eventFlag, constants('event_flag'));
});

test('the reasons for a close have the same numbers', () => {
  assert.deepStrictEqual(records.closeReason, closeReasons());
});

test('of a request of which nothing was sent, or nobody can say, both sides say the same', () => {
  for (const name of ['NOTHING_LEFT', 'UNKNOWN']) {
    const [, literal] = new RegExp(`^pub const ${name}: &str = (".+");`, 'm').exec(FACTS);
    assert.strictEqual(account[name], JSON.parse(literal));
  }
});

test('no two codes are the same', () => {
  for (const table of [records.op, records.event, records.rebound, records.closeReason]) {
    assert.strictEqual(new Set(Object.values(table)).size, Object.keys(table).length);
  }
});
