'use strict';

// What the error of a request that is destroyed says of what has left (`connection.bytesWritten`): programs decide by
// it whether they may send the request again. Rust and the network go on while JavaScript has yet to hear of it.

const assert = require('node:assert/strict');
const { subscribe, unsubscribe } = require('node:diagnostics_channel');
const { once } = require('node:events');
const { test } = require('node:test');

const { blockUntil, startServer, send, transport, transportOf, until, warm } = require('./helpers/blocked');

const patience = { timeout: 60_000 };
const { Agent } = transport();

async function setUp(t, options) {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1, ...options });
  t.after(() => agent.destroy());
  return { server, agent };
}

test('the connection is lost, and JavaScript has not been told', patience, async (t) => {
  const { server, agent } = await setUp(t);
  await warm(agent, server);
  const sent = send(agent, server, { id: 'x', act: 'reset/cue', method: 'POST', body: 'body' });
  await until(() => server.arrivals('x') > 0);
  server.post({ cue: 'x' });
  blockUntil(() => agent.stats()[`127.0.0.1:${server.port}`].connections.busy === 0);
  sent.request.destroy();
  const { error } = await sent;
  assert.equal(error.reason, 'aborted');
  assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
});

/** When the program goes on to give its request up, counted from its making. */
const MOMENTS = {
  'in the same tick': () => {},
  'in the next tick': () => new Promise((resolve) => process.nextTick(resolve)),
  'with its socket': (request) => once(request, 'socket'),
};

for (const [moment, comes] of Object.entries(MOMENTS)) {
  for (const end of ['request', 'agent']) {
    const title = `the ${end} is destroyed ${moment}: it has connected, and JavaScript has not been told`;
    test(title, patience, async (t) => {
      const { server, agent } = await setUp(t);
      const sent = send(agent, server, { id: 'x', act: 'hang' });
      await comes(sent.request);
      assert.ok(blockUntil(() => server.arrivals('x') > 0));
      (end === 'agent' ? agent : sent.request).destroy();
      const { error } = await sent;
      assert.equal(error.reason, end === 'agent' ? 'agent-destroyed' : 'aborted');
      assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    });
  }
}

/** Whose connect begins with the end of a tick, or never. */
const UNOPENED = {
  'over TLS': { version: 'TLSv1.3' },
  'its name is being looked up': { lookup: () => {}, host: 'localhost' },
};

/** When the request is destroyed. */
const SOON = {
  'in the next tick': (request, end) => process.nextTick(end),
  "by a listener for 'socket'": (request, end) => request.once('socket', end),
};

for (const [why, { version, ...options }] of Object.entries(UNOPENED)) {
  for (const [moment, call] of Object.entries(SOON)) {
    test(`it is destroyed ${moment}, before it connects: ${why}`, patience, async (t) => {
      const on = transportOf(version);
      const server = await on.startServer(t);
      const agent = new on.Agent();
      t.after(() => agent.destroy());
      const sent = send(agent, server, { id: 'x', ...options });
      call(sent.request, () => sent.request.destroy());
      const { error } = await sent;
      const { reason, bytesWritten, bytesRead } = error.connection;
      assert.deepEqual(
        { reason, bytesWritten, bytesRead },
        { reason: 'aborted', bytesWritten: 0, bytesRead: 0 },
      );
      assert.deepEqual(server.events('accept'), []);
    });
  }
}

test('it has connected, and is destroyed in the tick in which it would be sent', patience, async (t) => {
  const { server, agent } = await setUp(t, { sendEarly: false });
  const sent = send(agent, server, { id: 'x', act: 'hang' });
  // It has written to its socket by then, and the tick goes on.
  process.nextTick(() => {
    assert.ok(blockUntil(() => server.events('accept').length === 1));
    sent.request.destroy();
    blockUntil(() => server.arrivals('x') > 0, 200);
  });
  const { error } = await sent;
  assert.equal(error.reason, 'aborted');
  assert.ok(!(error.connection.bytesWritten > 0));
  // Over another connection: whatever came before has come.
  await warm(agent, server);
  assert.equal(server.arrivals('x'), 0);
});

test('it is about to be sent again', patience, async (t) => {
  // The connect that the repetition needs waits for this.
  let isWanted;
  const lookups = [];
  const lookup = (host, options, callback) => {
    const answer = () => callback(null, options.all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4);
    if (lookups.push(answer) === 1) answer();
    else isWanted();
  };
  const { server, agent } = await setUp(t, { lookup });
  const to = { host: 'localhost', servername: '127.0.0.1' };
  await warm(agent, server, 1, to);
  const sent = send(agent, server, { id: 'x', act: 'reset', ...to });
  await new Promise((resolve) => (isWanted = resolve));
  sent.request.destroy();
  const { error } = await sent;
  assert.equal(error.reason, 'aborted');
  assert.ok(error.connection.bytesWritten > 0, 'it has been sent once');
});

for (const end of ['request', 'agent']) {
  const title = `the ${end} is destroyed: it has been sent again, and JavaScript has not been told`;
  test(title, patience, async (t) => {
    const { server, agent } = await setUp(t);
    await warm(agent, server);
    const sent = send(agent, server, { id: 'x', act: 'reset/cue,hang' });
    await until(() => server.arrivals('x') === 1);
    server.post({ cue: 'x' });
    blockUntil(() => server.arrivals('x') === 2);
    (end === 'agent' ? agent : sent.request).destroy();
    const { error, request } = await sent;
    assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    assert.equal(error.connection.served, 0);
    assert.equal(request.attempts, 2);
  });
}

test('it has been sent ahead, and again, and JavaScript has not been told', patience, async (t) => {
  const { server, agent } = await setUp(t);
  await warm(agent, server);
  send(agent, server, { id: 'first' });
  const sent = send(agent, server, { id: 'x', act: 'reset,hang' });
  const told = [];
  const note = (message) => told.push(message);
  subscribe('offloop:request:retried', note);
  t.after(() => unsubscribe('offloop:request:retried', note));
  blockUntil(() => server.arrivals('x') === 2);
  sent.request.destroy();
  const { error, request } = await sent;
  assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
  assert.equal(request.attempts, 2);
  assert.deepEqual(
    told.map((message) => [message.agent === agent, message.socket, message.request === request]),
    [[true, undefined, true]],
  );
});

/** Two requests, of which the second is sent while JavaScript is blocked, and is lost on cue. */
async function sendAhead(t) {
  const { server, agent } = await setUp(t);
  await warm(agent, server);
  const first = send(agent, server, { id: 'first' });
  const second = send(agent, server, { id: 'x', act: 'reset/cue,ok' });
  blockUntil(() => server.arrivals('x') === 1);
  return { server, agent, first, second };
}

for (const ticks of [0, 1, 2]) {
  test(
    `it has been sent ahead, and is destroyed ${ticks} ticks after the response before`,
    patience,
    async (t) => {
      const { first, second } = await sendAhead(t);
      let left = ticks;
      const step = () => (left-- > 0 ? process.nextTick(step) : second.request.destroy());
      first.request.once('response', (response) => response.once('end', step));
      const { error } = await second;
      assert.equal(error.reason, 'aborted');
      assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    },
  );
}

test(
  'it has been sent ahead, and is lost while JavaScript computes on: it is not sent again',
  patience,
  async (t) => {
    const { server, agent, first, second } = await sendAhead(t);
    second.request.destroy();
    server.post({ cue: 'x' });
    blockUntil(() => server.arrivals('x') > 1, 200);
    assert.equal((await first).status, 200);
    const { error } = await second;
    assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    await warm(agent, server);
    assert.equal(server.arrivals('x'), 1);
  },
);

test(
  'it has been sent ahead, and the socket that it gets is destroyed: it is not sent again',
  patience,
  async (t) => {
    const { server, agent, first, second } = await sendAhead(t);
    agent.once('free', (socket) => socket.destroy());
    second.request.on('socket', ({ destroyed }) => {
      assert.ok(destroyed);
      server.post({ cue: 'x' });
      blockUntil(() => server.arrivals('x') > 1, 200);
    });
    assert.equal((await first).status, 200);
    const { error } = await second;
    assert.equal(error.code, 'ECONNRESET');
    assert.equal(error.reason, 'aborted');
    assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    await warm(agent, server);
    assert.equal(server.arrivals('x'), 1);
  },
);

test(
  'it has been sent ahead, and the program destroys the new socket that it is about to get',
  patience,
  async (t) => {
    const { first, second } = await sendAhead(t);
    const mine = new Error('mine');
    const { onSocket } = second.request;
    second.request.onSocket = function (socket, ...args) {
      onSocket.call(this, socket, ...args);
      socket.destroy(mine);
    };
    first.request.destroy();
    const { error } = await second;
    assert.equal(error, mine);
    assert.notEqual(error.connection.bytesWritten, 0, 'it has been sent');
  },
);

test(
  'it has been sent ahead, and the agent ends as it gets a socket of which nobody had use',
  patience,
  async (t) => {
    const { server, agent } = await setUp(t, { maxSockets: 2 });
    await warm(agent, server, 2);
    send(agent, server, { id: 'first' });
    const unsent = send(agent, server, { id: 'unsent', method: 'POST', body: 'body' });
    const sent = send(agent, server, { id: 'x', act: 'hang' });
    assert.ok(blockUntil(() => server.arrivals('x') === 1));
    unsent.request.destroy();
    agent.once('free', () => agent.destroy());
    const { error } = await sent;
    assert.equal(error.reason, 'agent-destroyed');
    assert.ok(error.connection.bytesWritten > 0, 'it has been sent');
    assert.deepEqual([server.arrivals('x'), server.arrivals('unsent')], [1, 0]);
  },
);

test('the socket that it gets is destroyed before it is sent', patience, async (t) => {
  const { server, agent } = await setUp(t);
  const first = send(agent, server, { id: 'first' });
  const second = send(agent, server, { id: 'x', method: 'POST', body: 'body' });
  agent.once('free', (socket) => socket.destroy());
  assert.equal((await first).status, 200);
  const { error } = await second;
  assert.equal(error.reason, 'aborted');
  assert.equal(error.connection.bytesWritten, 0);
  assert.equal(server.arrivals('x'), 0);
});

test('nothing has left, and JavaScript computes on', patience, async (t) => {
  const { server, agent } = await setUp(t);
  await warm(agent, server);
  const sent = send(agent, server, { id: 'x' });
  agent.destroy();
  blockUntil(() => server.arrivals('x') > 0, 200);
  const { error } = await sent;
  // Where it has not been held back long enough it must say so.
  assert.equal(error.connection.bytesWritten > 0, server.arrivals('x') > 0);
});

/** Who ends a request that is about to get an idle socket. */
const ENDS = {
  request: ({ request }) => request.destroy(),
  signal: ({ controller }) => controller.abort(),
  agent: ({ agent }) => agent.destroy(),
};

for (const [end, destroy] of Object.entries(ENDS)) {
  for (const isWaitedFor of [false, true]) {
    const title = `the ${end} ends a request before it has its idle socket${isWaitedFor ? ', for which another waits' : ''}`;
    test(title, patience, async (t) => {
      const { server, agent } = await setUp(t);
      await warm(agent, server);
      const controller = new AbortController();
      // It is not sent before it has its socket: its method is not a safe one.
      const sent = send(agent, server, { id: 'x', method: 'POST', body: 'body', signal: controller.signal });
      const other = isWaitedFor && send(agent, server, { id: 'other' });
      destroy({ request: sent.request, controller, agent });
      const { error } = await sent;
      const { reason, bytesWritten, bytesRead, reused } = error.connection;
      assert.deepEqual(
        { reason, bytesWritten, bytesRead, reused },
        {
          reason: end === 'agent' ? 'agent-destroyed' : 'aborted',
          bytesWritten: 0,
          bytesRead: 0,
          reused: true,
        },
      );
      await other;
      assert.equal(server.arrivals('x'), 0);
    });
  }
}

test(
  'it has been written in the tick that has sent another early, and that computes on',
  patience,
  async (t) => {
    const { server, agent } = await setUp(t, { maxSockets: 2 });
    await warm(agent, server, 2);
    const sent = send(agent, server, { id: 'x', method: 'POST', body: 'body' });
    const other = new Promise((resolve) => {
      sent.request.on('socket', () => {
        resolve(send(agent, server, { id: 'other' }));
        process.nextTick(() => {
          sent.request.destroy();
          assert.ok(blockUntil(() => server.arrivals('other') === 1));
        });
      });
    });
    const { error } = await sent;
    assert.equal(error.connection.bytesWritten, 0);
    assert.equal((await other).status, 200);
    assert.equal(server.arrivals('x'), 0);
  },
);

test('a request that has waited is destroyed before it has its socket', patience, async (t) => {
  const { server, agent } = await setUp(t);
  const first = send(agent, server, { id: 'first' });
  const sent = send(agent, server, { id: 'x', method: 'POST', body: 'body' });
  agent.on('free', () => {
    // Node's own listener has given it the socket.
    assert.equal(Object.keys(agent.requests).length, 0);
    sent.request.destroy();
  });
  await first;
  const { error } = await sent;
  assert.equal(error.reason, 'aborted');
  assert.equal(error.connection.bytesWritten, 0);
  assert.equal(server.arrivals('x'), 0);
});
