'use strict';

// Short runs of helpers/stress.js and stress-threads.js; `node __test__/helpers/stress.js 300` is a long one, with a seed
// of its own.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const SECONDS = 5;
const SEED = 1;

for (const [name, { program = 'stress.js', version = '', raw = '' }] of Object.entries({
  'over TCP': {},
  'over TCP, all left to the parser of Node': { raw: 'raw' },
  'over TLS 1.2': { version: 'TLSv1.2' },
  'over TLS 1.3': { version: 'TLSv1.3' },
  'in threads, some of which end in the middle': { program: 'stress-threads.js' },
})) {
  test(
    `random requests against a server that does everything wrong, ${name}`,
    { timeout: 120_000, skip: process.platform !== 'linux' && 'reads /proc' },
    () => {
      const args = [path.join(__dirname, 'helpers', program), SECONDS, SEED, version];
      // A process of its own: its handlers throw, and it has to end by itself.
      const { status, stdout, stderr } = spawnSync(process.execPath, args.map(String), {
        encoding: 'utf8',
        timeout: 100_000,
        env: { ...process.env, NODE_TEST_CONTEXT: undefined, OFFLOOP_PATH: raw },
      });
      assert.equal(status, 0, `${stdout}${stderr}`);
      assert.match(stdout, /^[1-9]\d* requests/m);
    },
  );
}
