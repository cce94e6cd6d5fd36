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

/** What a program may do between. It is answered by the thread, which must not take it for the end of the tick. */
const between = {
  nothing: () => {},
  'agent.stats()': (agent) => agent.stats(),
  'another request': (agent, port) =>
    http
      .get({ port, host: '127.0.0.1', path: '/other', agent })
      .on('error', () => {})
      .destroy(),
};

for (const [name, act] of Object.entries(between)) {
  test(`on an idle connection, with ${name} in between`, { timeout: 30_000 }, async (t) => {
    const seen = [];
    const server = http.createServer((request, response) => {
      seen.push(request.url);
      response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const agent = new HttpAgent();
    t.after(() => agent.destroy());
    const { port } = server.address();
    let unsent = 0;
    for (let i = 0; i < REQUESTS / 4; i++) {
      const warm = http.get({ port, host: '127.0.0.1', path: '/warm', agent });
      warm.on('response', (response) => response.resume());
      await once(warm, 'close');
      await new Promise(setImmediate);
      const request = http.get({ port, host: '127.0.0.1', path: '/given-up', agent });
      assert.equal(request.reusedSocket, true);
      const failed = once(request, 'error');
      act(agent, port);
      request.destroy();
      const [{ code, connection }] = await failed;
      assert.equal(code, 'ECONNRESET');
      if (connection.bytesWritten === 0) unsent++;
    }
    // As above: a pause of JavaScript's looks like work. Then the error says so.
    assert.ok(unsent >= (REQUESTS / 4) * 0.9, `${unsent} were not sent`);
    assert.ok(seen.filter((url) => url === '/given-up').length <= REQUESTS / 4 - unsent);
  });
}

/** Sends requests, every second of which is destroyed in its tick; what the server saw of whom, and on how many connections. */
async function alternate(t, agent, { port, seen }, more = () => {}) {
  t.after(() => agent.destroy());
  const errors = [];
  for (let i = 0; i < REQUESTS / 4; i++) {
    const request = http.get({ port, host: '127.0.0.1', path: '/given-up', agent });
    const failed = once(request, 'error');
    const next = more(agent, port);
    request.destroy();
    const [{ connection }] = await failed;
    errors.push(connection);
    const last = next ?? http.get({ port, host: '127.0.0.1', path: '/answered', agent });
    const [response] = await once(last, 'response');
    assert.equal(Buffer.concat(await response.toArray()).toString(), last.path);
    await new Promise(setImmediate);
  }
  const connections = new Set(seen.map(({ from }) => from)).size;
  const sent = seen.filter(({ url }) => url === '/given-up').length;
  seen.length = 0;
  return { connections, sent, errors };
}

for (const name of ['nobody', 'a request']) {
  test(
    `its idle connection is kept where http.Agent keeps it, and ${name} waits`,
    { timeout: 30_000 },
    async (t) => {
      const seen = [];
      const server = http.createServer((request, response) => {
        seen.push({ url: request.url, from: request.socket.remotePort });
        response.end(request.url);
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const at = { port: server.address().port, seen };
      const waiting = (agent, port) => http.get({ port, host: '127.0.0.1', path: '/waited', agent });
      const more = name === 'nobody' ? undefined : waiting;
      const nodes = await alternate(t, new http.Agent({ keepAlive: true, maxSockets: 1 }), at, more);
      const { connections, sent, errors } = await alternate(t, new HttpAgent({ maxSockets: 1 }), at, more);
      // As above: what was sent in a pause of JavaScript's cannot be taken back.
      assert.ok(sent <= REQUESTS / 40, `${sent} were sent`);
      assert.ok(connections <= nodes.connections + REQUESTS / 40, `${connections}, not ${nodes.connections}`);
      assert.equal(errors.filter(({ bytesWritten }) => bytesWritten > 0).length, sent);
    },
  );
}
