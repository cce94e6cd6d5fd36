'use strict';

// A server that closes idle connections after a time that it does not announce. After a few closes the
// agent stays below it.

const assert = require('node:assert');
const { test } = require('node:test');
const { send, startServer, until, warm } = require('./helpers/blocked');
const { ourAgent } = require('./helpers/request');

/** After how many ms of idleness the server closes. */
const LIMIT = 100;
const timeout = 60_000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Until a limit has been learned: how many closes that takes is for a busy machine to say, whose timers are late. */
async function teach(agent, server) {
  const ends = [];
  const limit = () => agent.stats()[`127.0.0.1:${server.port}`]?.learnedLimit;
  while (limit() === undefined) ends.push(await leaveIdle(agent, server, `idle-${ends.length}`));
  return ends;
}

/** Leaves a connection idle until it has ended; who ended it. */
async function leaveIdle(agent, server, id, then = `close/${LIMIT}`) {
  await send(agent, server, { id, then });
  const { connection } = server.events('request', id).at(-1);
  const of = (type) => server.events(type).some((event) => event.connection === connection);
  await until(() => of('closed') || of('client-fin'));
  // The server's own close comes first in its log if the two crossed.
  return of('closed') ? 'server' : 'client';
}

test('after a few closes the connection is closed on our side first', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  const before = await teach(agent, server);
  assert.deepStrictEqual(before.slice(0, 3), ['server', 'server', 'server']);
  const after = [];
  // If nothing had been learned it would be the server's turn, long before the default limit.
  for (let i = 0; i < 5; i++) after.push(await leaveIdle(agent, server, `later-${i}`, 'close/3000'));
  assert.deepStrictEqual(after, Array(5).fill('client'));
});

test('races fade out, and connections are still reused', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  const raced = [];
  let reused = 0;
  for (let i = 0; i < 60; i++) {
    const { status, request } = await send(agent, server, { id: `r${i}`, then: `close/${LIMIT}` });
    assert.strictEqual(status, 200);
    raced.push(request.attempts === 2);
    if (request.reusedSocket) reused++;
    // Just when the server closes, and now and then sooner.
    await sleep(i % 3 === 0 ? 20 : LIMIT - 2 + (i % 5));
  }
  const late = raced.slice(30).filter(Boolean).length;
  assert.ok(late <= 5, `${late} of 30 requests still met a close`);
  assert.ok(reused >= 5, `${reused} requests found a connection`);
});

test('what is learned holds for other agents of the process', { timeout }, async (t) => {
  const server = await startServer(t);
  await teach(ourAgent(t), server);
  const pupil = ourAgent(t);
  const ends = [];
  for (let i = 0; i < 5; i++) ends.push(await leaveIdle(pupil, server, `other-${i}`, 'close/3000'));
  assert.deepStrictEqual(ends, ['client', 'client', 'client', 'client', 'client']);
});

test('it holds for connections that were idle already', { timeout }, async (t) => {
  const server = await startServer(t);
  const waiting = ourAgent(t);
  await warm(waiting, server);
  await teach(ourAgent(t), server);
  const { request } = await send(waiting, server, { id: 'late' });
  assert.deepStrictEqual([request.reusedSocket, request.attempts], [false, 1]);
});

test('one close says nothing', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  await leaveIdle(agent, server, 'one');
  await leaveIdle(agent, server, 'two');
  await warm(agent, server);
  await sleep(LIMIT * 2);
  const { request } = await send(agent, server, { id: 'kept' });
  assert.strictEqual(request.reusedSocket, true);
});

test('a restart says nothing', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  for (let i = 0; i < 4; i++) {
    // Connections that have been idle for different times, all closed at once.
    const slow = Array.from({ length: 4 }, (_, n) =>
      send(agent, server, { id: `${i}-${n}`, act: `ok/${n * 40}` }),
    );
    await Promise.all(slow);
    await sleep(50);
    await server.command({ end: 'close' });
  }
  await warm(agent, server);
  await sleep(300);
  const { request } = await send(agent, server, { id: 'kept' });
  assert.strictEqual(request.reusedSocket, true);
});
