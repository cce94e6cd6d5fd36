'use strict';

// socketPath: the same over a Unix socket.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { get, httpServer, sameAsNode, seeingAgent, socketPath, until } = require('./helpers/lane-server');

const options = { timeout: 20_000, skip: process.platform === 'win32' && 'no Unix sockets' };

test('requests, reuse, and the members of the socket', options, async (t) => {
  const where = socketPath(t);
  await httpServer(t, (req, res) => req.pipe(res), { path: where });
  const [, , log] = await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const log = [];
    for (const body of ['', 'x'.repeat(200_000)]) {
      const response = await get({ socketPath: where, agent, method: 'POST', body });
      const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = response.usedSocket;
      log.push({ remoteAddress, remotePort, remoteFamily, localAddress, localPort });
      log.push(response.usedSocket.address(), response.body.length, response.req.reusedSocket);
      await until(() => Object.keys(agent.freeSockets).length > 0);
      log.push(Object.keys(agent.freeSockets));
    }
    return [log, 0, log.length];
  });
  assert.strictEqual(log, 10);
});

test('a path outside ASCII', options, async (t) => {
  const where = `${socketPath(t)}-grüße`;
  await httpServer(t, (req, res) => res.end('here'), { path: where });
  const { body } = await get({ socketPath: where, agent: seeingAgent(t, HttpAgent) });
  assert.strictEqual(body, 'here');
});

test('two paths are two pools', options, async (t) => {
  const [one, two] = [socketPath(t), socketPath(t)];
  await httpServer(t, (req, res) => res.end('one'), { path: one });
  await httpServer(t, (req, res) => res.end('two'), { path: two });
  const agent = seeingAgent(t, HttpAgent);
  for (let round = 0; round < 3; round++) {
    assert.strictEqual((await get({ socketPath: one, agent })).body, 'one');
    assert.strictEqual((await get({ socketPath: two, agent })).body, 'two');
  }
});

test('a server that goes while the connection is idle', options, async (t) => {
  const where = socketPath(t);
  const server = await httpServer(t, (req, res) => res.end('x'), { path: where });
  const agent = seeingAgent(t, HttpAgent);
  const { usedSocket } = await get({ socketPath: where, agent });
  server.closeAllConnections();
  if (!usedSocket.destroyed) await once(usedSocket, 'close');
  const second = http.get({ socketPath: where, agent });
  const [response] = await once(second, 'response');
  response.resume();
  await once(response, 'end');
  assert.strictEqual(second.reusedSocket, false);
});
