'use strict';

// A short run of the differential fuzzing in fuzz/differential, always the same cases. fuzz/README.md has how
// others are run, and how one of them is repeated.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { fuzz } = require('../fuzz/differential');
const { fuzzWaiting } = require('../fuzz/differential/waiting');

test('mutated responses are seen as with http.Agent', { timeout: 100_000 }, async (t) => {
  const report = ({ isFinding, ...found }) => isFinding && t.diagnostic(JSON.stringify(found));
  const counts = await fuzz({ seed: 1, cases: 300, report });
  assert.equal(counts.cases, 300);
  assert.ok(counts.withoutParser > 30, `${counts.withoutParser} responses were read by Rust`);
  assert.equal(counts.findings, 0);
});

test('behind mutated responses those that wait get their own', { timeout: 100_000 }, async (t) => {
  const report = (found) => t.diagnostic(JSON.stringify(found));
  const counts = await fuzzWaiting({ seed: 1, cases: 96, report });
  assert.equal(counts.cases, 96);
  t.diagnostic(`${counts.ahead} of ${counts.requests} requests were sent ahead`);
  assert.equal(counts.findings, 0);
});
