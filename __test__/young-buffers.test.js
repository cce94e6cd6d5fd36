'use strict';

// A large download leaves buffers that nobody has any more, and V8 finds them without a look at the whole heap.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { httpServer } = require('./helpers/lane-server');

const MIB = 1024 * 1024;
const SIZE = 512 * MIB;

const PROGRAM = require.resolve('./helpers/download-collections');

// Later ones have reasons of their own to look at the whole heap, so that it is not the same each time.
const skip = !process.version.startsWith('v20.') && 'sure with the V8 of Node 20 only';

test(
  'what a download leaves is collected with the young generation',
  { timeout: 120_000, skip },
  async (t) => {
    const piece = Buffer.alloc(MIB);
    const { port } = await httpServer(t, async (request, response) => {
      response.setHeader('Content-Length', SIZE);
      for (let sent = 0; sent < SIZE; sent += MIB) {
        if (!response.write(piece)) await once(response, 'drain');
      }
      response.end();
    });
    const counts = [];
    while (counts.length < 7) {
      const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, String(port)]);
      const { received, whole } = JSON.parse(stdout);
      assert.equal(received, SIZE);
      counts.push(whole);
    }
    // In one process of some twenty V8 does not take the occasion. Without one it collects the whole heap five times or
    // so, and in few of them less often.
    const median = counts.sort((a, b) => a - b)[3];
    assert.ok(median <= 2, `the whole heap was collected ${counts} times`);
  },
);
