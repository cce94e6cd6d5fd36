'use strict';

const assert = require('node:assert');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { books, closed, exchange } = require('./helpers/request');

/** Runs the scenario with each class as that of the global agent, out of which `agent: false` makes its own. */
async function withBoth(t, scenario) {
  const before = http.globalAgent;
  t.after(() => (http.globalAgent = before));
  const seen = [];
  for (const agent of [new http.Agent({ keepAlive: true }), new HttpAgent()]) {
    http.globalAgent = agent;
    seen.push(await scenario(agent));
    agent.destroy();
  }
  assert.deepStrictEqual(seen[1], seen[0]);
  return seen[1];
}

for (const [title, options] of [
  ['a plain request', {}],
  ['headers given as an array', { headers: ['Host', 'h', 'X-One', '1'] }],
  ['a Connection header of the caller', { headers: { Connection: 'keep-alive' } }],
  ['a body', { method: 'POST', headers: { 'Content-Length': 4 } }],
  ['a body of unknown length', { method: 'POST' }],
  ['Expect', { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 4 } }],
]) {
  test(`agent: false, ${title}: a connection of its own, closed after it`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t);
    await withBoth(t, async (global) => {
      const body = options.method && 'body';
      const {
        request,
        body: answer,
        socket,
      } = await exchange({ ...server.at, ...options, agent: false }, body);
      if (!socket.destroyed) socket.destroy();
      await closed(socket);
      const { headers } = JSON.parse(answer);
      assert.ok(request.agent instanceof global.constructor);
      assert.notStrictEqual(request.agent, global);
      return [headers.connection, JSON.parse(answer).body, books(global)];
    });
  });
}

test('agent: false closes the connection by itself', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const [connection] = await withBoth(t, async () => {
    const { body, socket } = await exchange({ ...server.at, agent: false });
    await closed(socket);
    return [JSON.parse(body).headers.connection];
  });
  assert.strictEqual(connection, 'close');
});
