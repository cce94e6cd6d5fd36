'use strict';

// diagnostics_channel tells of connections and of requests that are sent again.

const assert = require('node:assert/strict');
const diagnostics = require('node:diagnostics_channel');
const { once } = require('node:events');
const { test } = require('node:test');

const { HttpAgent, HttpsAgent } = require('..');
const certificate = require('./helpers/certificate');
const { blockUntil, send, startServer, until, warm } = require('./helpers/blocked');
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

/** Closes that are no errors of a request: what the agent or, once the connection is idle, the server does for it. */
const CLOSES = {
  'peer-closed-idle': { end: 'close' },
  'unexpected-data': { end: 'forge' },
  'idle-timeout': { options: { freeSocketTimeout: 50 } },
  ttl: { options: { socketActiveTTL: 100 } },
  'not-kept': { options: { keepAlive: false } },
};

for (const [reason, { options, end }] of Object.entries(CLOSES)) {
  test(`the close of a connection without a request has its reason: ${reason}`, patience, async (t) => {
    const server = await startServer(t);
    const agent = new HttpAgent(options);
    t.after(() => agent.destroy());
    const told = listen(t, agent);
    const { error } = await send(agent, server, { id: reason });
    assert.equal(error, undefined);
    if (end !== undefined) {
      // A socket goes back into the pool a tick after its response has ended.
      await new Promise((resolve) => setImmediate(resolve));
      await server.command({ end });
    }
    await until(() => told.length === 2);
    assert.deepEqual([told[1].name, told[1].reason], ['connection:closed', reason]);
    const [{ closes }] = Object.values(agent.stats());
    assert.deepEqual(closes, { [reason]: 1 });
  });
}

test('a connection that is taken from one socket for another, whose own is gone', patience, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const told = listen(t, agent);
  // The last one to be idle is the first to be used again.
  const alive = send(agent, server, { id: 'alive', act: 'ok/cue' });
  const dead = send(agent, server, { id: 'dead', act: 'ok/cue' });
  await server.command({ cue: 'alive' });
  await alive;
  await server.command({ cue: 'dead' });
  await dead;
  await new Promise((resolve) => setImmediate(resolve));
  server.post({ end: 'close', connections: [server.events('request', 'dead')[0].connection] });
  assert.ok(blockUntil(() => server.events('closed').length > 0));
  const { status } = await send(agent, server, { id: 'again', act: 'ok' });
  assert.equal(status, 200);
  await until(() => told.filter(({ name }) => name === 'connection:closed').length === 2);
  const closes = told.filter(({ name }) => name === 'connection:closed');
  assert.deepEqual(closes.map(({ reason }) => reason).sort(), ['peer-closed-idle', 'taken']);
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
    told.map(({ name, reason }) => [name, reason]),
    [
      ['connection:reused', undefined],
      ['request:retried', undefined],
      ['connection:closed', 'peer-fin'],
      ['connection:opened', undefined],
    ],
  );
  assert.equal(told[1].request, request);
});
