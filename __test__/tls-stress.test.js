'use strict';

// A short run of helpers/stress.js over TLS; `node __test__/helpers/stress.js 300 1 TLSv1.3` is a long one.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { newSeed } = require('./helpers/generator');
const { stress } = require('./helpers/stress');

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(
    `random requests against a server that does everything wrong, over ${version}`,
    { timeout: 60_000, skip: process.platform !== 'linux' && 'reads /proc' },
    async (t) => {
      const seed = newSeed(t);
      const { requests, violations } = await stress(5, seed, version);
      assert.deepEqual(violations, [], `seed ${seed}`);
      assert.ok(requests > 0);
    },
  );
}
