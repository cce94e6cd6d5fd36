'use strict';

// No false timeouts, over TLS. All of false-timeouts.test.js once more.

const assert = require('node:assert');
const { once } = require('node:events');
const { describe, test } = require('node:test');
const { block, blockUntil, overTls, send, transportOf } = require('./helpers/blocked');

/** ms; the loop is blocked for longer. */
const TIMEOUT = 150;

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  describe(version, () => {
    overTls(version, require.resolve('./false-timeouts.test'));

    test(
      'the timer runs again after a handshake that was over during a block',
      { timeout: 20_000 },
      async (t) => {
        const { Agent, startServer } = transportOf(version);
        const server = await startServer(t);
        const agent = new Agent();
        t.after(() => agent.destroy());
        const { request } = send(agent, server, { id: 'x', act: 'hang' });
        const [socket] = await once(request, 'socket');
        socket.once('connect', () => {
          socket.setTimeout(TIMEOUT);
          const start = performance.now();
          assert.ok(blockUntil(() => server.arrivals('x') > 0));
          block(Math.max(0, start + 2 * TIMEOUT - performance.now()));
        });
        await once(socket, 'timeout');
        request.destroy();
      },
    );
  });
}
