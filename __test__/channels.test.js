'use strict';

// diagnostics_channel tells of connections and of requests that are sent again.

const assert = require('node:assert/strict');
const diagnostics = require('node:diagnostics_channel');
const { once } = require('node:events');
const { test } = require('node:test');

const { HttpAgent, HttpsAgent } = require('..');
const certificate = require('./helpers/certificate');
const { send, startServer, until, warm } = require('./helpers/blocked');
const { echoServer } = require('./helpers/echo-server');
const { exchangeAndIdle } = require('./helpers/request');

const patience = { timeout: 20_000 };
const CHANNELS = ['connection:opened', 'connection:reused', 'connection:closed', 'request:retried'];

/** What is told of an agent, in order, for the length of a test. */
function listen(t, agent) {
  const told = [];
  for (const name of CHANNELS) {
    const note = (message) => {
      if (message.agent === agent) told.push({ name, ...message });
    };
    diagnostics.subscribe(`offloop:${name}`, note);
    t.after(() => diagnostics.unsubscribe(`offloop:${name}`, note));
  }
  return told;
}

for (const [Agent, options] of [
  [HttpAgent, {}],
  [HttpsAgent, { ca: certificate.cert }],
]) {
  test(`${Agent.name}: a connection is opened, used again and closed`, patience, async (t) => {
    const server = await echoServer(t, Agent === HttpsAgent ? certificate : {});
    const agent = new Agent(options);
    t.after(() => agent.destroy());
    const told = listen(t, agent);
    const get = Agent === HttpsAgent ? require('node:https').request : undefined;
    const { socket } = await exchangeAndIdle({ ...server.at, agent }, undefined, get);
    const { request } = await exchangeAndIdle({ ...server.at, agent }, undefined, get);
    const closed = once(socket, 'close');
    agent.destroy();
    await closed;
    assert.deepEqual(
      told.map(({ name, reason }) => [name, reason]),
      [
        ['connection:opened', undefined],
        ['connection:reused', undefined],
        ['connection:closed', 'agent-destroyed'],
      ],
    );
    assert.ok(told.every((one) => one.socket === socket));
    assert.equal(told[1].request, request);
  });
}

test('the close of an idle connection has its reason', patience, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const told = listen(t, agent);
  await warm(agent, server, 1, { then: 'close/5' });
  await until(() => told.length === 2);
  assert.deepEqual([told[1].name, told[1].reason], ['connection:closed', 'peer-closed-idle']);
});

test('a request that is sent again', patience, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  await warm(agent, server);
  const told = listen(t, agent);
  const { status, request } = await send(agent, server, { id: 'again', act: 'close,ok' });
  assert.equal(status, 200);
  assert.deepEqual(
    told.map(({ name }) => name),
    ['connection:reused', 'request:retried', 'connection:closed', 'connection:opened'],
  );
  assert.equal(told[1].request, request);
});
