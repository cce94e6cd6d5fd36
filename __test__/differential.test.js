'use strict';

// A short run of the differential fuzzing in fuzz/differential, always the same cases. fuzz/README.md has how
// others are run, and how one of them is repeated.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { fuzz } = require('../fuzz/differential');

test('mutated responses are seen as with http.Agent', { timeout: 100_000 }, async (t) => {
  const report = ({ isFinding, ...found }) => isFinding && t.diagnostic(JSON.stringify(found));
  const counts = await fuzz({ seed: 1, cases: 300, report });
  assert.equal(counts.cases, 300);
  assert.ok(counts.withoutParser > 30, `${counts.withoutParser} responses were read by Rust`);
  assert.equal(counts.findings, 0);
});
