'use strict';

// An upload that pauses dies for one of five causes. To a program they look alike with other agents: here each has
// its own reason, or is no error.

const assert = require('node:assert');
const { describe, test } = require('node:test');
const { inspect } = require('node:util');
const { send, transportOf } = require('./helpers/blocked');

const patience = { timeout: 20_000 };
/** ms. On a busy machine a handshake alone takes some hundred. */
const TIMEOUT = 2000;

/** What the request ends with: name and message, code and reason, or the status of a response. */
const CAUSES = {
  'the timeout of the agent': {
    options: { timeout: TIMEOUT },
    act: 'hang@5',
    outcome: ['Error: socket hang up', 'ECONNRESET', 'socket-timeout'],
  },
  'the timeout of the request': {
    timeout: TIMEOUT,
    act: 'hang@5',
    outcome: ['Error: socket hang up', 'ECONNRESET', 'request-timeout'],
  },
  'the server closes': {
    act: 'half@5',
    outcome: ['PeerClosedError: socket hang up', 'ECONNRESET', 'peer-fin'],
  },
  'the server resets': {
    act: 'reset@5',
    outcome: ['Error: read ECONNRESET', 'ECONNRESET', 'peer-reset'],
  },
  'the server answers with a 408': { act: 'timeout@5', outcome: 408 },
};

for (const version of [undefined, 'TLSv1.2', 'TLSv1.3']) {
  describe(version ?? 'TCP', { concurrency: true }, () => {
    const { Agent, startServer } = transportOf(version);

    for (const [cause, { options, outcome, ...request }] of Object.entries(CAUSES)) {
      test(cause, patience, async (t) => {
        const server = await startServer(t);
        const agent = new Agent(options);
        t.after(() => agent.destroy());
        const sent = send(agent, server, {
          id: 'upload',
          method: 'POST',
          ...request,
          body: (upload) => upload.write('first part'),
        });
        // Neither timeout ends a request by itself, as in Node.
        sent.request.on('timeout', () => sent.request.destroy());
        const { status, error } = await sent;
        sent.request.destroy();
        if (typeof outcome === 'number') {
          assert.deepStrictEqual([status, error], [outcome, undefined]);
          return;
        }
        assert.deepStrictEqual([String(error), error.code, error.reason], outcome);
        // What a log shows of it.
        assert.match(
          inspect(error),
          new RegExp(`reason: '${outcome[2]}'[^]*connection: {[^]*bytesWritten: `),
        );
        assert.ok(error.connection.bytesWritten > 0);
        assert.strictEqual(server.arrivals('upload'), 1);
      });
    }
  });
}

test('five causes, five outcomes', () => {
  const outcomes = Object.values(CAUSES).map(({ outcome }) =>
    Array.isArray(outcome) ? outcome[2] : outcome,
  );
  assert.strictEqual(new Set(outcomes).size, 5);
});
