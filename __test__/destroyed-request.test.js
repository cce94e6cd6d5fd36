'use strict';

// A request that is given up before its connection stands sends nothing, although Rust connects at once, and
// although a finished request does not wait for the end of its tick.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { closed, exchangeAndIdle } = require('./helpers/request');

const REQUESTS = 200;

/** When the request is given up, counted from http.get(). */
const moments = {
  'at once': (destroy) => destroy(),
  'in the next tick': (destroy) => process.nextTick(destroy),
  'with the socket': (destroy, request) => request.once('socket', destroy),
};

/**
 * ms. JavaScript that is interrupted for longer, by a garbage collection or another process, looks like one that computes,
 * and what it has sent by then is gone. What was destroyed sooner has not left, however busy the machine is.
 */
const SOON = 2.5;

for (const [moment, giveUp, sendEarly] of Object.entries(moments).flatMap((entry) =>
  [false, 'safe'].map((variant) => [...entry, variant]),
)) {
  test(
    `a request destroyed ${moment} is not sent: sendEarly ${sendEarly}`,
    { timeout: 30_000 },
    async (t) => {
      const seen = new Set();
      const server = http.createServer((request, response) => {
        seen.add(request.url);
        response.end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      const agent = new HttpAgent({ maxSockets: 1, sendEarly });
      t.after(() => agent.destroy());

      const kept = [];
      for (let i = 0; i < REQUESTS; i++) {
        const path = `/${i}`;
        const start = performance.now();
        const request = http.get({ port: server.address().port, host: '127.0.0.1', path, agent });
        const error = once(request, 'error');
        giveUp(() => request.destroy(), request);
        const [{ code }] = await error;
        if (sendEarly === false || performance.now() - start < SOON) kept.push(path);
        assert.equal(code, 'ECONNRESET');
        if (!request.closed) await once(request, 'close');
      }
      // What had been sent would have come before this.
      const last = http.get({ port: server.address().port, host: '127.0.0.1' });
      const [response] = await once(last, 'response');
      response.resume();
      await once(response, 'end');
      assert.ok(kept.length > 0);
      assert.deepEqual(
        kept.filter((path) => seen.has(path)),
        [],
      );
    },
  );
}

test('what is written to a destroyed request goes nowhere', { timeout: 30_000 }, async (t) => {
  const seen = [];
  const server = await echoServer(t, {
    listener: (request, response) => {
      seen.push(request.url);
      response.end();
    },
  });
  const kept = [];
  for (const Agent of [http.Agent, HttpAgent]) {
    const agent = new Agent({ keepAlive: true, sendEarly: 'all' });
    t.after(() => agent.destroy());
    const options = { ...server.at, method: 'POST', agent };
    const first = await exchangeAndIdle({ ...options, path: '/first' });
    for (const isClosed of [true, false]) {
      const request = http.request({ ...options, path: '/destroyed' });
      const end = closed(request);
      request.on('error', () => {}).destroy();
      if (isClosed) await end;
      request.end('a body');
      await end;
    }
    const last = await exchangeAndIdle({ ...options, path: '/last' });
    assert.deepEqual(seen.splice(0), ['/first', '/last']);
    kept.push(first.socket === last.socket);
  }
  assert.equal(kept[1], kept[0]);
});

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
    const seen = new Set();
    const server = http.createServer((request, response) => {
      seen.add(request.url);
      response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const agent = new HttpAgent();
    t.after(() => agent.destroy());
    const { port } = server.address();
    let soon = 0;
    const unsent = [];
    for (let i = 0; i < REQUESTS / 4; i++) {
      const warm = http.get({ port, host: '127.0.0.1', path: '/warm', agent });
      warm.on('response', (response) => response.resume());
      await once(warm, 'close');
      await new Promise(setImmediate);
      const path = `/given-up/${i}`;
      const start = performance.now();
      const request = http.get({ port, host: '127.0.0.1', path, agent });
      assert.equal(request.reusedSocket, true);
      const failed = once(request, 'error');
      act(agent, port);
      request.destroy();
      const [{ code, connection }] = await failed;
      const isSoon = performance.now() - start < SOON;
      assert.equal(code, 'ECONNRESET');
      // If it has been sent the error says so.
      if (connection.bytesWritten === 0) unsent.push(path);
      else assert.ok(!isSoon, `${path} was sent`);
      if (isSoon) soon++;
    }
    assert.ok(soon > 0);
    // What had been sent would have come before this.
    await once(
      http.get({ port, host: '127.0.0.1', path: '/warm', agent }).on('response', (r) => r.resume()),
      'close',
    );
    assert.deepEqual(
      unsent.filter((path) => seen.has(path)),
      [],
    );
  });
}

/** Sends requests, every second of which is destroyed in its tick; what the server saw of whom, and on how many connections. */
async function alternate(t, agent, { port, seen }, more = () => {}) {
  t.after(() => agent.destroy());
  const errors = [];
  let soon = 0;
  for (let i = 0; i < REQUESTS / 4; i++) {
    const start = performance.now();
    const request = http.get({ port, host: '127.0.0.1', path: `/given-up/${i}`, agent });
    const failed = once(request, 'error');
    const next = more(agent, port);
    request.destroy();
    const [{ connection }] = await failed;
    const isSoon = performance.now() - start < SOON;
    if (isSoon) soon++;
    errors.push({ url: request.path, isSoon, ...connection });
    const last = next ?? http.get({ port, host: '127.0.0.1', path: '/answered', agent });
    const [response] = await once(last, 'response');
    assert.equal(Buffer.concat(await response.toArray()).toString(), last.path);
    await new Promise(setImmediate);
  }
  const connections = new Set(seen.map(({ from }) => from)).size;
  const sent = seen.filter(({ url }) => url.startsWith('/given-up')).map(({ url }) => url);
  seen.length = 0;
  assert.ok(soon > 0);
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
      assert.equal(errors.filter(({ isSoon, bytesWritten }) => isSoon && bytesWritten > 0).length, 0);
      // What was sent in a pause of JavaScript's costs its connection, since the answer is nobody's.
      assert.ok(connections <= nodes.connections + sent.length, `${connections}, not ${nodes.connections}`);
      for (const { url, bytesWritten } of errors) {
        if (bytesWritten !== undefined) assert.equal(bytesWritten > 0, sent.includes(url), url);
      }
    },
  );
}

test(
  'what a request that is over has written leaves, in a tick that has sent another early',
  { timeout: 30_000 },
  async (t) => {
    let closed;
    const uploaded = new Promise((resolve) => (closed = resolve));
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('error', () => {});
      if (request.method === 'POST') request.socket.on('close', () => closed(body));
      // Before the end of its body.
      response.end('ok');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const agent = new HttpAgent({ maxSockets: 2 });
    t.after(() => agent.destroy());
    const to = { port: server.address().port, host: '127.0.0.1', agent };
    const answer = async (request) => {
      const [response] = await once(request, 'response');
      await once(response.resume(), 'end');
    };
    await Promise.all([answer(http.get(to)), answer(http.get(to))]);
    await new Promise(setImmediate);

    const upload = http.request({ ...to, method: 'POST', headers: { 'content-length': 9 } });
    upload.write('first');
    await answer(upload);
    const { socket } = upload;
    socket.on('error', () => {});
    upload.end('last');
    const other = http.get(to);
    // With newer Nodes it is over a tick later.
    const end = () => {
      if (upload.writableFinished) socket.destroy(new Error('enough'));
      else process.nextTick(end);
    };
    end();
    await answer(other);
    assert.equal(await uploaded, 'firstlast');
  },
);
