'use strict';

// Responses that came while JavaScript was busy are handed over together, and have to look as if each
// had come by itself.

const assert = require('node:assert');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const { asNode, closed } = require('./helpers/request');

const COUNT = 6;

/** Blocks JavaScript long enough for all that is on its way to arrive. */
const block = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);

test('ticks and promises of one response run before the next response', { timeout: 20_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const trace = await asNode(t, async (make) => {
    const agent = make();
    hold.reset();
    const trace = [];
    const requests = Array.from({ length: COUNT }, (_, n) =>
      http.get({ ...server.at, path: `/${n}`, agent }, (response) => {
        trace.push('response');
        process.nextTick(() => trace.push('tick'));
        Promise.resolve().then(() => trace.push('promise'));
        response.resume();
      }),
    );
    await hold.waiting(COUNT);
    hold.release();
    block();
    await Promise.all(requests.map(closed));
    return trace;
  });
  assert.deepStrictEqual(trace, Array(COUNT).fill(['response', 'tick', 'promise']).flat());
});
