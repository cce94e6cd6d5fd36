'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const certificate = require('./helpers/certificate');
const { leftAfterCollection } = require('./helpers/collection');
const { echoServer } = require('./helpers/echo-server');
const { exchange, nextTurn } = require('./helpers/request');

/** One request, of which the caller keeps nothing but weak references. */
async function request(agent, at) {
  const free = once(agent, 'free').then(() => {});
  const refs = await new Promise((resolve, reject) => {
    const { get } = agent instanceof HttpsAgent ? https : http;
    const sent = get({ ...at, agent }, (response) => {
      response.resume();
      resolve({
        request: new WeakRef(sent),
        response: new WeakRef(response),
        socket: new WeakRef(sent.socket),
      });
    });
    sent.on('error', reject);
  });
  await free;
  return refs;
}

for (const [what, Agent, secure] of [
  ['TCP', HttpAgent, {}],
  ['TLS', HttpsAgent, certificate],
]) {
  test(
    `a request and its response can be collected while the socket is idle: ${what}`,
    { timeout: 30_000 },
    async (t) => {
      const server = await echoServer(t, secure);
      const agent = new Agent({ freeSocketTimeout: 0, ca: secure.cert });
      t.after(() => agent.destroy());
      const { socket, ...refs } = await request(agent, server.at);
      assert.deepStrictEqual(await leftAfterCollection(refs), []);
      assert.ok(Object.values(agent.freeSockets)[0].includes(socket.deref()));
    },
  );
}

test('a socket can be collected when it has closed', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const agent = new HttpAgent();
  const refs = await request(agent, server.at);
  agent.destroy();
  while (server.open.size > 0) await once(server, 'gone');
  assert.deepStrictEqual(await leftAfterCollection(refs), []);
  assert.strictEqual(agent.totalSocketCount, 0);
});

test('so can an agent', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const refs = await (async () => {
    const agent = new HttpAgent();
    const { socket } = await request(agent, server.at);
    agent.destroy();
    return { agent: new WeakRef(agent), socket };
  })();
  while (server.open.size > 0) await once(server, 'gone');
  assert.deepStrictEqual(await leftAfterCollection(refs), []);
});

test('so can one whose idle connections the server has closed', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const refs = await (async () => {
    const agent = new HttpAgent({ freeSocketTimeout: 0 });
    const { socket } = await request(agent, server.at);
    for (const open of server.open) open.destroy();
    while (agent.totalSocketCount > 0) await nextTurn();
    return { agent: new WeakRef(agent), socket };
  })();
  assert.deepStrictEqual(await leftAfterCollection(refs), []);
});

test('an agent can be collected, and the functions that its options had', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const refs = await (async () => {
    const agent = new HttpAgent({ keepAlive: false });
    // It knows the agent, as a program's may.
    const lookup = (host, options, callback) => agent.options.lookup && callback(null, '127.0.0.1', 4);
    agent.options.lookup = lookup;
    const at = { ...server.at, host: 'a.test', autoSelectFamily: false };
    const { socket } = await exchange({ ...at, agent });
    if (!socket.closed) await once(socket, 'close');
    return { agent: new WeakRef(agent), lookup: new WeakRef(lookup) };
  })();
  assert.deepStrictEqual(await leftAfterCollection(refs), []);
});
