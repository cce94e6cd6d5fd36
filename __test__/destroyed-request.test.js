'use strict';

// A request that is given up before its connection stands sends nothing, although Rust connects at once, and
// although a finished request does not wait for the end of its tick.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');

const { HttpAgent } = require('..');

const REQUESTS = 200;

/** When the request is given up, counted from http.get(). */
const moments = {
  'at once': (destroy) => destroy(),
  'in the next tick': (destroy) => process.nextTick(destroy),
  'with the socket': (destroy, request) => request.once('socket', destroy),
};

/** JavaScript that is interrupted for milliseconds, by a garbage collection say, looks like one that computes. */
const variants = [
  { sendEarly: false, most: 0 },
  { sendEarly: 'safe', most: REQUESTS / 10 },
];

for (const [moment, giveUp, { sendEarly, most }] of Object.entries(moments).flatMap((entry) =>
  variants.map((variant) => [...entry, variant]),
)) {
  test(
    `a request destroyed ${moment} is not sent: sendEarly ${sendEarly}`,
    { timeout: 30_000 },
    async (t) => {
      let seen = 0;
      const server = http.createServer((request, response) => {
        seen++;
        response.end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const agent = new HttpAgent({ maxSockets: 1, sendEarly });
      t.after(() => agent.destroy());

      for (let i = 0; i < REQUESTS; i++) {
        const request = http.get({ port: server.address().port, host: '127.0.0.1', agent });
        const error = once(request, 'error');
        giveUp(() => request.destroy(), request);
        const [{ code }] = await error;
        assert.equal(code, 'ECONNRESET');
        if (!request.closed) await once(request, 'close');
      }
      // What had been sent would have come before this.
      const last = http.get({ port: server.address().port, host: '127.0.0.1' });
      const [response] = await once(last, 'response');
      response.resume();
      await once(response, 'end');
      assert.ok(seen <= 1 + most, `${seen - 1} were sent`);
    },
  );
}
