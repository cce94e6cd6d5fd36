'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const https = require('node:https');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { echoServer } = require('./helpers/echo-server');
const { books, closed, exchange } = require('./helpers/request');

const timeout = 20_000;

test('a warning says once per option that a connection is not off the event loop', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  for (const options of [{ ca: cert }, { ca: cert, requestOCSP: true }, { ca: cert, requestOCSP: true }]) {
    const agent = new HttpsAgent(options);
    await exchange({ ...server.at, agent }, undefined, https.request);
    agent.destroy();
  }
  assert.deepStrictEqual(
    warnings.map(({ name, code }) => [name, code]),
    [['OffloopWarning', 'OFFLOOP_NODE_SOCKET']],
  );
  assert.match(warnings[0].message, /requestOCSP/);
});

/** Runs the scenario with Node's agent and with ours. */
async function asNode(t, scenario) {
  const seen = [];
  for (const Agent of [https.Agent, HttpsAgent]) {
    seen.push(
      await scenario((options) => {
        const agent = new Agent({ keepAlive: true, ...options });
        t.after(() => agent.destroy());
        return agent;
      }),
    );
  }
  assert.deepStrictEqual(seen[1], seen[0]);
  return seen[1];
}

async function exchangeAndIdle(options) {
  const free = once(options.agent, 'free');
  const done = await exchange(options, undefined, https.request);
  await free;
  return done;
}

test('requests are answered over TLS, and connections reused', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const [urls, reused] = await asNode(t, async (make) => {
    const agent = make({ ca: cert });
    const done = [];
    for (const path of ['/1', '/2']) {
      const one = await exchangeAndIdle({ ...server.at, host: 'localhost', family: 4, path, agent });
      assert.strictEqual(one.socket.encrypted, true);
      assert.strictEqual(one.socket.authorized, true);
      done.push(one);
    }
    return [
      done.map(({ body }) => JSON.parse(body).url),
      done.map(({ request }) => request.reusedSocket),
      books(agent).freeSockets,
    ];
  });
  assert.deepStrictEqual(urls, ['/1', '/2']);
  assert.deepStrictEqual(reused, [false, true]);
});

test('a certificate that is not trusted is refused', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const code = await asNode(t, async (make) => {
    const agent = make();
    return exchange({ ...server.at, agent }, undefined, https.request).catch(({ code }) => code);
  });
  assert.strictEqual(code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
});

test('so is one of another name', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const code = await asNode(t, async (make) => {
    const agent = make({ ca: cert });
    const options = { ...server.at, agent, servername: 'other.example' };
    return exchange(options, undefined, https.request).catch(({ code }) => code);
  });
  assert.strictEqual(code, 'ERR_TLS_CERT_ALTNAME_INVALID');
});

test('different TLS options are different pools', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const reused = await asNode(t, async (make) => {
    const agent = make({ ca: cert });
    const reused = [];
    for (const more of [{}, { rejectUnauthorized: false }, {}, { minVersion: 'TLSv1.3' }]) {
      reused.push((await exchangeAndIdle({ ...server.at, ...more, agent })).request.reusedSocket);
    }
    return reused;
  });
  assert.deepStrictEqual(reused, [false, false, true, false]);
});

test('a TLS session is resumed on the next connection', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key, maxVersion: 'TLSv1.2' });
  for (const [maxCachedSessions, expected] of [
    [undefined, [false, true]],
    [0, [false, false]],
  ]) {
    const resumed = await asNode(t, async (make) => {
      const agent = make({ ca: cert, maxCachedSessions });
      const resumed = [];
      for (let n = 0; n < 2; n++) {
        const request = https.get({ ...server.at, agent, headers: { Connection: 'close' } });
        const [socket] = await once(request, 'socket');
        const end = closed(socket);
        const [response] = await once(request, 'response');
        resumed.push(socket.isSessionReused());
        response.resume();
        await end;
      }
      return resumed;
    });
    assert.deepStrictEqual(resumed, expected);
  }
});

test('the agent emits keylog', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const agent = new HttpsAgent({ ca: cert });
  t.after(() => agent.destroy());
  const lines = [];
  agent.on('keylog', (line, socket) => lines.push([line.toString(), socket.encrypted]));
  await exchange({ ...server.at, agent }, undefined, https.request);
  assert.ok(lines.length > 0);
  for (const [line, isSocket] of lines) {
    assert.match(line, /^[A-Z_0-9]+ [0-9a-f]+ [0-9a-f]+\n$/);
    assert.strictEqual(isSocket, true);
  }
});

test('createConnection takes the forms of tls.connect()', { timeout }, async (t) => {
  const server = await echoServer(t, { cert, key });
  const { host, port } = server.at;
  await asNode(t, async (make) => {
    const agent = make();
    const seen = [];
    for (const args of [[{ host, port, ca: cert }], [port, host, { ca: cert }], [port, { host, ca: cert }]]) {
      const socket = agent.createConnection(...args);
      await once(socket, 'secureConnect');
      seen.push(socket.authorized);
      socket.destroy();
    }
    return seen;
  });
});
