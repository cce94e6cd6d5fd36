'use strict';

// A large download leaves buffers that nobody has any more, and V8 finds them without a look at the whole heap.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { PerformanceObserver, constants } = require('node:perf_hooks');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const { httpServer } = require('./helpers/lane-server');

const MIB = 1024 * 1024;
const SIZE = 512 * MIB;

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
    const agent = new HttpAgent();
    t.after(() => agent.destroy());
    let whole = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) {
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) whole++;
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    const [response] = await once(http.get({ host: '127.0.0.1', port, agent }), 'response');
    let received = 0;
    response.on('data', (chunk) => (received += chunk.length));
    await once(response, 'end');
    assert.equal(received, SIZE);
    // What was seen last is told in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    observer.disconnect();
    // Without an occasion to look at what is young there are as many as 64 MiB go into the body: eight.
    assert.ok(whole <= 2, `the whole heap was collected ${whole} times`);
  },
);
