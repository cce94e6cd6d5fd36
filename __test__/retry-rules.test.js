'use strict';

// When a request is sent again (docs/architecture.md): each way in which a server can lose a connection,
// against each kind of request, counted by the server.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { send, transport, until, warm } = require('./helpers/blocked');

const { Agent, startServer } = transport();

const timeout = 30_000;

/** Kinds of requests, and whether they may be sent twice. */
const KINDS = [
  { name: 'GET', method: 'GET', repeatable: true },
  { name: 'HEAD', method: 'HEAD', repeatable: true },
  { name: 'OPTIONS', method: 'OPTIONS', repeatable: true },
  { name: 'TRACE', method: 'TRACE', repeatable: true },
  { name: 'PUT', method: 'PUT', body: 'body', repeatable: true },
  { name: 'DELETE', method: 'DELETE', repeatable: true },
  { name: 'POST', method: 'POST', body: 'body', repeatable: false },
  { name: 'PATCH', method: 'PATCH', body: 'body', repeatable: false },
  { name: 'key', method: 'POST', body: 'body', headers: { 'Idempotency-Key': '1' }, repeatable: true },
  { name: 'x-key', method: 'POST', body: 'body', headers: { 'X-Idempotency-Key': '1' }, repeatable: true },
  {
    name: 'key-in-array',
    method: 'POST',
    body: 'body',
    headers: ['content-length', '4', 'idempotency-key', '1'],
    repeatable: true,
  },
  {
    name: 'no-key',
    method: 'POST',
    body: 'body',
    headers: { 'X-Not-Idempotency-Key': '1', 'X-Text': 'Idempotency-Key: 1' },
    repeatable: false,
  },
];

/** Ways of dying after the request was read without a byte of an answer (rule R4). */
const UNANSWERED = {
  close: 'socket hang up',
  half: 'socket hang up',
  'half-reset': 'socket hang up',
  reset: 'read ECONNRESET',
  'close/20': 'socket hang up',
};

/** Ways of dying with a part of the answer out. */
const ANSWERED = [
  'part-head',
  'part-body',
  'part-chunk',
  'processing-close',
  'processing-reset',
  'part-body-reset',
];

async function onReused(t, options, agentOptions = {}) {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1, ...agentOptions });
  t.after(() => agent.destroy());
  await warm(agent, server);
  const result = await send(agent, server, { id: 'it', ...options });
  const { attempts, reusedSocket } = result.request;
  return { ...result, server, agent, attempts, reusedSocket, came: server.arrivals('it') };
}

for (const { name, repeatable, ...kind } of KINDS) {
  for (const [death, message] of Object.entries(UNANSWERED)) {
    test(
      `${name}, unanswered, ${death}: ${repeatable ? 'sent again, once' : 'reported'}`,
      { timeout },
      async (t) => {
        const { status, error, attempts, reusedSocket, came } = await onReused(t, {
          ...kind,
          act: `${death},ok`,
        });
        if (repeatable) {
          assert.equal(error, undefined);
          assert.deepEqual(
            { status, attempts, reusedSocket, came },
            { status: 200, attempts: 2, reusedSocket: false, came: 2 },
          );
        } else {
          assert.equal(error.message, message);
          assert.equal(error.code, 'ECONNRESET');
          assert.deepEqual({ attempts, reusedSocket, came }, { attempts: 1, reusedSocket: true, came: 1 });
        }
      },
    );
  }

  test(
    `${name} on a connection that was closed before it: another connection, no retry`,
    { timeout },
    async (t) => {
      for (const [how, agentOptions] of [['close'], ['reset'], ['half'], ['close', { retry: false }]]) {
        const server = await startServer(t);
        const agent = new Agent(agentOptions);
        t.after(() => agent.destroy());
        await warm(agent, server);
        server.events();
        const { port } = server;
        server.post({ end: how });
        // Not one turn of the event loop between the server's FIN and the request.
        const { blockUntil } = require('./helpers/blocked');
        assert.ok(
          blockUntil(() => server.events('closed').length > 0),
          `${how} on ${port}`,
        );
        const { status, request, error } = await send(agent, server, { id: 'it', ...kind });
        assert.equal(error, undefined, how);
        assert.deepEqual([status, request.attempts, server.arrivals('it')], [200, 1, 1], how);
      }
    },
  );
}

for (const death of ANSWERED) {
  test(`after a byte of the answer nothing is repeated: ${death}`, { timeout }, async (t) => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST']) {
      // An answer to HEAD has no body: it is whole.
      if (method === 'HEAD' && !/^(?:part-head|processing)/.test(death)) continue;
      const { error, attempts, reusedSocket, came } = await onReused(t, { method, act: `${death},ok` });
      assert.equal(error.code, 'ECONNRESET');
      assert.deepEqual({ attempts, reusedSocket, came }, { attempts: 1, reusedSocket: true, came: 1 });
    }
  });
}

test('a 408 is an answer, and nothing is repeated', { timeout }, async (t) => {
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST']) {
    const { status, error, attempts, came } = await onReused(t, { method, act: 'timeout,ok' });
    assert.deepEqual(
      { status, error, attempts, came },
      { status: 408, error: undefined, attempts: 1, came: 1 },
    );
  }
});

test('a request is sent again only once', { timeout }, async (t) => {
  for (const death of ['close', 'reset', 'half']) {
    const { error, attempts, reusedSocket, came } = await onReused(t, { act: death });
    assert.equal(error.code, 'ECONNRESET');
    assert.deepEqual({ attempts, reusedSocket, came }, { attempts: 2, reusedSocket: false, came: 2 });
  }
});

test('what fails on a fresh connection is not sent again', { timeout }, async (t) => {
  for (const act of ['close', 'reset', 'half', 'part-head']) {
    const server = await startServer(t);
    const agent = new Agent();
    t.after(() => agent.destroy());
    const { error, request } = await send(agent, server, { id: 'it', act: `${act},ok` });
    assert.equal(error.code, 'ECONNRESET', act);
    assert.deepEqual([request.attempts, request.reusedSocket, server.arrivals('it')], [1, false, 1], act);
  }
});

test('a connection that is reset as soon as it is accepted is one error', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent();
  t.after(() => agent.destroy());
  await server.command({ greeting: 'reset' });
  const { error } = await send(agent, server, { id: 'it' });
  assert.match(error.code, /^(ECONNRESET|EPIPE)$/);
  await until(() => server.events('gone').length > 0);
  // Time for a second one to come, if there were one: another request has its own.
  await send(agent, server, { id: 'other' });
  // It may be gone before it is noted that it came.
  await until(() => server.events('gone').length > 1 && server.events('accept').length > 1);
  assert.equal(server.events('accept').length, 2);
});

test('retry: false turns off the repetition', { timeout }, async (t) => {
  for (const death of ['close', 'reset', 'half']) {
    const { error, attempts, reusedSocket, came } = await onReused(
      t,
      { act: `${death},ok` },
      { retry: false },
    );
    assert.equal(error.code, 'ECONNRESET');
    assert.deepEqual({ attempts, reusedSocket, came }, { attempts: 1, reusedSocket: true, came: 1 });
  }
});

test('methods and headers of the option are what may be repeated', { timeout }, async (t) => {
  const retry = { methods: ['report', 'get'], headers: ['X-Once', 'a|b'] };
  for (const [options, again] of [
    [{ method: 'GET' }, true],
    [{ method: 'REPORT' }, true],
    [{ method: 'PUT', body: 'body' }, false],
    [{ method: 'POST', body: 'body', headers: { 'x-once': '1' } }, true],
    [{ method: 'POST', body: 'body', headers: { 'a|b': '1' } }, true],
    [{ method: 'POST', body: 'body', headers: { a: '1' } }, false],
    [{ method: 'POST', body: 'body', headers: { 'Idempotency-Key': '1' } }, false],
  ]) {
    const { attempts, came } = await onReused(t, { ...options, act: 'close,ok' }, { retry });
    assert.deepEqual([attempts, came], again ? [2, 2] : [1, 1], JSON.stringify(options));
  }
});

test('a request’s own retry wins over the agent’s', { timeout }, async (t) => {
  for (const [agentOption, own, again] of [
    ['idempotent', false, false],
    [false, 'idempotent', true],
    [false, { methods: ['GET'] }, true],
    [{ methods: [] }, undefined, false],
    [false, null, false],
  ]) {
    const { attempts, came } = await onReused(t, { act: 'close,ok', retry: own }, { retry: agentOption });
    assert.deepEqual([attempts, came], again ? [2, 2] : [1, 1], `${agentOption} ${own}`);
  }
});

test('a retry that a client library passes on with its own options is not ours', { timeout }, async (t) => {
  for (const retry of [
    // got 11's, restify-clients', and what others have under this name.
    { limit: 0, methods: ['GET', 'POST'], statusCodes: [500] },
    { retries: 4 },
    {},
    () => {},
    3,
    true,
  ]) {
    for (const [kind, agentOption] of [
      [{ method: 'GET' }, false],
      [{ method: 'POST', body: 'body' }, 'idempotent'],
    ]) {
      const { error, attempts, came } = await onReused(
        t,
        { ...kind, act: 'close,ok', retry },
        { retry: agentOption },
      );
      assert.equal(error.code, 'ECONNRESET');
      assert.deepEqual([attempts, came], [1, 1], JSON.stringify(retry));
    }
  }
});

test('maxReplayBytes of retry wins over the agent’s, in both directions', { timeout }, async (t) => {
  const body = crypto.randomBytes(10_000);
  for (const [agentBytes, ownBytes, again] of [
    [100, 20_000, true],
    [20_000, 100, false],
  ]) {
    const retry = { maxReplayBytes: ownBytes };
    const { attempts } = await onReused(
      t,
      { method: 'PUT', body, act: 'close,ok', retry },
      { maxReplayBytes: agentBytes },
    );
    assert.equal(attempts, again ? 2 : 1);
  }
});

test(
  'a body within maxReplayBytes is sent again byte for byte, a larger one is not',
  { timeout },
  async (t) => {
    const small = crypto.randomBytes(30_000);
    const within = await onReused(
      t,
      { method: 'PUT', body: small, act: 'close,ok' },
      { maxReplayBytes: 32_000 },
    );
    assert.equal(within.status, 200);
    const hash = crypto.createHash('sha256').update(small).digest('hex');
    const whole = within.server.events('whole', 'it');
    assert.deepEqual(
      whole.map((event) => [event.length, event.hash]),
      [
        [30_000, hash],
        [30_000, hash],
      ],
    );

    const over = await onReused(
      t,
      { method: 'PUT', body: crypto.randomBytes(40_000), act: 'close,ok' },
      { maxReplayBytes: 32_000 },
    );
    assert.equal(over.error.code, 'ECONNRESET');
    assert.deepEqual([over.came, over.attempts], [1, 1]);

    // The head counts too: nothing fits into nothing.
    const none = await onReused(t, { act: 'close,ok' }, { maxReplayBytes: 0 });
    assert.equal(none.error.code, 'ECONNRESET');
    assert.equal(none.came, 1);
  },
);

test('an upload goes on after it was sent again', { timeout }, async (t) => {
  const [first, second] = [crypto.randomBytes(20_000), crypto.randomBytes(900_000)];
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1 });
  t.after(() => agent.destroy());
  await warm(agent, server);
  const result = await send(agent, server, {
    id: 'it',
    method: 'PUT',
    act: 'close@20000,ok',
    body: async (request) => {
      request.write(first);
      await until(() => server.arrivals('it') === 2);
      request.end(second);
    },
  });
  assert.equal(result.status, 200);
  assert.equal(result.request.attempts, 2);
  const hash = crypto.createHash('sha256').update(first).update(second).digest('hex');
  assert.deepEqual(
    server.events('whole', 'it').map((event) => [event.length, event.hash]),
    [[920_000, hash]],
  );
});

test('a repetition that gets no connection ends with the error that led to it', { timeout }, async (t) => {
  for (const [act, message] of [
    ['gone-close', 'socket hang up'],
    ['gone-reset', 'read ECONNRESET'],
  ]) {
    const { error, attempts, reusedSocket, came } = await onReused(t, { act });
    assert.equal(error.message, message);
    assert.deepEqual({ attempts, reusedSocket, came }, { attempts: 1, reusedSocket: true, came: 1 });
    assert.equal(error.connection.retry, 'not sent again: another connection could not be had');
  }
});

test('a refused connection is not tried again', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1 });
  t.after(() => agent.destroy());
  await send(agent, server, { id: 'last', act: 'gone-close' });
  const { error, request } = await send(agent, server, { id: 'it' });
  assert.equal(error.code, 'ECONNREFUSED');
  assert.equal(request.attempts, 1);
});

test('an aborted request is not sent again', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1 });
  t.after(() => agent.destroy());
  await warm(agent, server);
  const pending = send(agent, server, { id: 'it', act: 'close/cue,ok' });
  await until(() => server.arrivals('it') === 1);
  pending.request.destroy();
  assert.equal((await pending).error.code, 'ECONNRESET');
  await until(() => server.events('client-fin').length === 1);
  await server.command({ cue: 'it' });
  // On the only connection that there may be, after anything that could still come of the first.
  assert.equal((await send(agent, server, { id: 'other' })).status, 200);
  assert.equal(server.arrivals('it'), 1);
});

test('the server never has more connections than the limit, repetitions included', { timeout }, async (t) => {
  for (const maxSockets of [1, 3]) {
    const server = await startServer(t);
    const agent = new Agent({ maxSockets });
    t.after(() => agent.destroy());
    const requests = [];
    for (let i = 0; i < 60; i++) {
      const act = ['ok', 'close,ok', 'half,ok', 'reset,ok', 'last'][i % 5];
      requests.push(send(agent, server, { id: `it-${i}`, act, then: i % 3 === 0 ? 'close/0' : undefined }));
    }
    await Promise.all(requests);
    const open = server.events('accept').map((event) => event.open);
    assert.ok(open.length > 12, `${open.length} connections`);
    assert.ok(Math.max(...open) <= maxSockets, `at most ${maxSockets}: ${open}`);
  }
});
