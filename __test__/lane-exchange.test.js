'use strict';

// A request whose idle connection turns out to be dead gets another idle one; the lane that had that one
// is destroyed, and the books stay right.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { HttpAgent } = require('..');
const { blockUntil, send, startServer, until, warm } = require('./helpers/blocked');

const timeout = 30_000;

/** Two idle lanes: the agent hands out the one whose connection the server has just closed. */
async function twoLanes(t, server, agent) {
  await warm(agent, server, 2);
  const [idle] = Object.values(agent.freeSockets);
  assert.equal(idle.length, 2);
  // Idle lanes are handed out from the end.
  const [other, next] = idle;
  await until(() => server.events('accept').length === 2);
  const connectionOf = ({ localPort }) =>
    server.events('accept').find(({ port }) => port === localPort).connection;
  return { other, next, connectionOf };
}

for (const method of ['GET', 'POST']) {
  test(`${method}: another lane's idle connection takes the place of a dead one`, { timeout }, async (t) => {
    const server = await startServer(t);
    const agent = new HttpAgent({ freeSocketTimeout: 0 });
    t.after(() => agent.destroy());
    const { other, next, connectionOf } = await twoLanes(t, server, agent);
    const { localPort: port } = other;
    const closes = [];
    other.on('close', () => closes.push('other'));
    next.on('close', () => closes.push('next'));
    server.post({ end: 'close', connections: [connectionOf(next)] });
    assert.ok(blockUntil(() => server.events('closed').length === 1));

    const result = await send(agent, server, { id: 'it', method });
    assert.deepEqual([result.status, result.request.attempts, result.request.reusedSocket], [200, 1, true]);
    assert.equal(result.request.socket, next);
    assert.equal(next.localPort, port);
    assert.equal(server.events('request', 'it')[0].connection, connectionOf(next));
    await until(() => closes.length === 1);
    assert.deepEqual(closes, ['other']);
    assert.equal(server.events('accept').length, 2);
    assert.deepEqual([agent.totalSocketCount, Object.values(agent.freeSockets).flat()], [1, [next]]);

    // Late events of the connection that is gone, and of the lane that lost its own, bother nobody.
    const again = await Promise.all(
      ['a', 'b', 'c'].map((id) => send(agent, server, { id, method, act: 'ok/20' })),
    );
    assert.deepEqual(
      again.map(({ body }) => body),
      ['ok:a', 'ok:b', 'ok:c'],
    );
    await until(() => Object.values(agent.freeSockets).flat().length === 3);
    assert.equal(agent.totalSocketCount, 3);
    agent.destroy();
    await until(() => agent.totalSocketCount === 0);
    assert.deepEqual(
      [agent.sockets, agent.freeSockets, agent.requests].map((book) => Object.keys(book).length),
      [0, 0, 0],
    );
  });
}

test('two requests in a tick for two lanes of which one connection is left', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent({ freeSocketTimeout: 0, maxSockets: 2 });
  t.after(() => agent.destroy());
  const { next, connectionOf } = await twoLanes(t, server, agent);
  server.post({ end: 'close', connections: [connectionOf(next)] });
  assert.ok(blockUntil(() => server.events('closed').length === 1));
  // The first takes the connection of the lane that JavaScript has just given to the second.
  const results = await Promise.all(
    ['a', 'b'].map((id) => send(agent, server, { id, method: 'POST', act: 'ok/20' })),
  );
  assert.deepEqual(
    results.map(({ body }) => body),
    ['ok:a', 'ok:b'],
  );
  await until(() => server.events('accept').length === 3);
  assert.ok(server.events('accept').every(({ open }) => open <= 2));
  await until(() => Object.values(agent.freeSockets).flat().length === 2);
  assert.equal(agent.totalSocketCount, 2);
});

test('the connections of another agent are not taken', { timeout }, async (t) => {
  const server = await startServer(t);
  const [agent, foreign] = [new HttpAgent({ freeSocketTimeout: 0 }), new HttpAgent({ freeSocketTimeout: 0 })];
  t.after(() => [agent, foreign].forEach((one) => one.destroy()));
  await warm(foreign, server);
  await warm(agent, server);
  server.post({ end: 'close', connections: [2] });
  assert.ok(blockUntil(() => server.events('closed').length === 1));
  assert.equal((await send(agent, server, { id: 'it' })).status, 200);
  assert.equal(server.events('request', 'it')[0].connection, 3);
  assert.equal(Object.values(foreign.freeSockets).flat().length, 1);
});

test('a place in the pool that is free twice is given away once', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new HttpAgent({ freeSocketTimeout: 0, maxSockets: 2 });
  t.after(() => agent.destroy());
  await warm(agent, server, 2);
  // Idle lanes that are destroyed leave the books at the next request, and emit 'close' after it.
  for (const lane of Object.values(agent.freeSockets).flat()) lane.destroy();
  const requests = [];
  for (let i = 0; i < 6; i++) requests.push(send(agent, server, { id: `it-${i}`, act: 'ok/30' }));
  await Promise.all(requests);
  await until(() => server.events('accept').length === 4);
  assert.ok(
    server.events('accept').every(({ open }) => open <= 2),
    JSON.stringify(server.events('accept')),
  );
});

test('a lane that goes idle before it is connected serves the next request', { timeout }, async (t) => {
  for (const how of [undefined, 'close', 'reset']) {
    const server = await startServer(t);
    const agent = new HttpAgent({ freeSocketTimeout: 0 });
    t.after(() => agent.destroy());
    // Newer Nodes give the socket of a request that was destroyed at once back to the agent.
    const first = send(agent, server, { id: 'first' });
    first.request.destroy();
    await first;
    if (Object.keys(agent.freeSockets).length > 0) {
      // It is connected, and perhaps closed, before JavaScript hears of either.
      assert.ok(blockUntil(() => server.events('accept').length === 1));
      if (how !== undefined) {
        server.post({ end: how });
        assert.ok(blockUntil(() => server.events('closed').length === 1));
      }
    }
    const { body, error, request } = await send(agent, server, {
      id: 'second',
      method: 'POST',
      body: 'body',
    });
    assert.deepEqual([error, body], [undefined, 'ok:second'], how);
    await until(() => request.closed ?? request._closed);
    assert.equal(server.arrivals('second'), 1);
  }
});
