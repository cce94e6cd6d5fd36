'use strict';

// Requests that wait for a socket go on while JavaScript is blocked, one behind the other on its connection. What
// a program sees is what it sees with http.Agent, only that the answers are there when it comes to look.

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { HttpAgent } = require('..');
const { native } = require('../lib/binding');
const Place = require('../lib/crossing/place');
const { block, blockUntil, send, transport, until, warm } = require('./helpers/blocked');
const { generator, newSeed } = require('./helpers/generator');
const { keepAliveTimer } = require('./helpers/keep-alive-timer');

const { Agent, startServer } = transport();
const isTcp = Agent === HttpAgent;
const isLinux = process.platform === 'linux';

const options = { timeout: 60_000 };
const COUNT = 10;
/** ms in which what may not happen would have happened many times over. */
const LONG = 80;

/** A server and an agent with one socket, unless it is said otherwise. */
async function start(t, agentOptions, Class = Agent) {
  const { maxSockets = 1 } = agentOptions ?? {};
  const server = await startServer(t);
  const agent = new Class({ maxSockets: 1, freeSocketTimeout: 0, ...agentOptions });
  t.after(() => agent.destroy());
  await warm(agent, server, maxSockets);
  return { server, agent };
}

/** Sends requests `it-0`, `it-1`, … and notes the order in which they are answered. */
function sendAll(agent, server, acts, more = {}) {
  const order = [];
  const results = acts.map((act, i) => {
    const result = send(agent, server, { id: `it-${i}`, act, ...more });
    result.then(() => order.push(i));
    return result;
  });
  return { order, results };
}

const answered = (server) => server.events('answered').filter(({ id }) => id.startsWith('it-')).length;
const ahead = (agent) => Object.values(agent.stats()).reduce((sum, origin) => sum + origin.ahead, 0);

const closed = (request) =>
  new Promise((resolve) => (request.closed ? resolve() : request.on('close', resolve)));

/** Each has got its own answer, having come once. */
function check(server, results, bodyOf = (i) => `ok:it-${i}`) {
  for (const [i, { error, status, id, body }] of results.entries()) {
    assert.equal(error, undefined, `it-${i}`);
    assert.deepEqual([status, id, body], [200, `it-${i}`, bodyOf(i)]);
    assert.equal(server.arrivals(`it-${i}`), 1);
  }
}

/** How many connections a server has had at a time, at most. */
const mostOpen = (server) => Math.max(...server.events('accept').map(({ open }) => open));

for (const act of ['ok', 'chunked', 'slow-body', 'hint', 'large']) {
  test(
    `requests that wait are answered during the block, and delivered in order: ${act}`,
    options,
    async (t) => {
      const { server, agent } = await start(t);
      const { order, results } = sendAll(agent, server, Array(COUNT).fill(act));
      assert.ok(
        blockUntil(() => answered(server) === COUNT),
        `${answered(server)} were answered`,
      );
      const all = await Promise.all(results);
      check(server, all, (i) => (act === 'large' ? `ok:it-${i}:`.padEnd(100_000, '.') : `ok:it-${i}`));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
      );
      assert.equal(ahead(agent), COUNT - 1);
      assert.deepEqual([mostOpen(server), server.events('accept').length], [1, 1]);
      assert.deepEqual(agent.requests, Object.create(null));
      assert.equal((await send(agent, server, { id: 'next' })).body, 'ok:next');
      assert.equal(server.events('accept').length, 1);
    },
  );
}

test('on a connection that is new, and by maxTotalSockets, and without keepAlive', options, async (t) => {
  for (const own of [{ maxSockets: 1 }, { maxTotalSockets: 1 }, { maxSockets: 1, keepAlive: false }]) {
    const server = await startServer(t);
    const agent = new Agent(own);
    t.after(() => agent.destroy());
    // A new connection over TLS waits for the listeners for 'secureConnect' of the first request's.
    if (!isTcp) await warm(agent, server, 1);
    if (!isTcp && own.keepAlive === false) continue;
    const { order, results } = sendAll(agent, server, Array(COUNT).fill('ok'));
    assert.ok(
      blockUntil(() => answered(server) === COUNT),
      JSON.stringify(own),
    );
    check(server, await Promise.all(results));
    assert.deepEqual(order, [...order.keys()]);
    assert.equal(mostOpen(server), 1);
  }
});

test(
  'what a program has set on a socket holds for the requests behind the first, too',
  { ...options, skip: !isLinux && 'reads /proc' },
  async (t) => {
    const { server, agent } = await start(t);
    const [socket] = Object.values(agent.freeSockets).flat();
    assert.ok(keepAliveTimer(socket.localPort) > 0);
    socket.setKeepAlive(false);
    await until(() => keepAliveTimer(socket.localPort) === 0);
    const { results } = sendAll(agent, server, Array(COUNT).fill('ok'));
    assert.ok(blockUntil(() => answered(server) === COUNT));
    check(server, await Promise.all(results));
    assert.ok(ahead(agent) > 0);
    assert.equal(Object.values(agent.freeSockets).flat()[0], socket);
    // The answer to this comes behind what the socket has had to say.
    agent.stats();
    assert.equal(keepAliveTimer(socket.localPort), 0);
  },
);

test('those that come to wait when all before them have been answered', options, async (t) => {
  const { server, agent } = await start(t);
  const results = [];
  while (results.length < COUNT) {
    for (let i = 0; i < 2; i++) results.push(send(agent, server, { id: `it-${results.length}` }));
    assert.ok(
      blockUntil(() => answered(server) === results.length),
      `${answered(server)} of ${results.length} were answered`,
    );
  }
  check(server, await Promise.all(results));
  assert.equal(ahead(agent), COUNT - 1);
});

test('behind a request that is under way already, and behind HEAD', options, async (t) => {
  for (const method of ['GET', 'HEAD']) {
    for (const delay of ['', '/1', '/cue']) {
      const { server, agent } = await start(t);
      const first = send(agent, server, { id: 'first', act: `ok${delay}`, method });
      await once(first.request, 'finish');
      const { results } = sendAll(agent, server, Array(COUNT).fill('ok'), { method });
      server.post({ cue: 'first' });
      assert.ok(blockUntil(() => server.events('answered', 'first').length === 1));
      // If JavaScript had its answer before this block, the socket is JavaScript's to give.
      if (delay === '/cue')
        assert.ok(
          blockUntil(() => answered(server) === COUNT),
          `${answered(server)}`,
        );
      else block(LONG);
      assert.equal((await first).status, 200);
      check(server, await Promise.all(results), (i) => (method === 'HEAD' ? '' : `ok:it-${i}`));
    }
  }
});

/** What a program can see of requests that wait, with the books at each event. `wait` blocks. */
async function trace(agent, server, acts, wait) {
  const seen = [];
  const books = () =>
    [agent.sockets, agent.freeSockets, agent.requests].map((list) =>
      Object.values(list).reduce((sum, { length }) => sum + length, 0),
    );
  const sockets = [];
  const results = acts.map((act, i) => {
    const result = send(agent, server, { id: `it-${i}`, act });
    const { request } = result;
    const note = (name) => seen.push([i, name, books(), agent.totalSocketCount, request.reusedSocket]);
    request.on('socket', (socket) => {
      if (!sockets.includes(socket)) sockets.push(socket);
      note(
        `socket ${sockets.indexOf(socket)} ${socket.listenerCount('free')} ${socket.listenerCount('data')}`,
      );
    });
    for (const name of ['finish', 'close']) request.on(name, () => note(name));
    request.on('response', (response) => {
      note('response');
      for (const name of ['end', 'close']) response.on(name, () => note(`response ${name}`));
    });
    return result;
  });
  wait();
  await Promise.all(results.map(({ request }) => closed(request)));
  await Promise.all(results);
  await new Promise(setImmediate);
  seen.push(['idle', books(), sockets.map(({ bytesRead, bytesWritten }) => [bytesRead, bytesWritten])]);
  return seen;
}

test('events, books and counters are those of http.Agent', { ...options, skip: !isTcp }, async (t) => {
  for (const act of ['ok', 'chunked', 'slow-body', 'last']) {
    const theirs = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ours = new Agent({ maxSockets: 1 });
    t.after(() => [theirs, ours].forEach((agent) => agent.destroy()));
    const acts = Array(5).fill(act);
    const expected = await trace(theirs, await startServer(t), acts, () => block(LONG));
    const server = await startServer(t);
    // Behind a response that says Connection: close the others wait for JavaScript.
    const count = act === 'last' ? 1 : acts.length;
    const seen = await trace(ours, server, acts, () => blockUntil(() => answered(server) === count));
    assert.deepEqual(seen, expected, act);
    assert.equal(ahead(ours), count - 1);
  }
});

test('while JavaScript is not blocked nothing moves', options, async (t) => {
  // A machine that does not let JavaScript run looks like a block. It does not do so all the time.
  for (let attempt = 0; ; attempt++) {
    const { server, agent } = await start(t);
    // JavaScript sleeps when an answer comes.
    const { order, results } = sendAll(agent, server, Array(5).fill('ok/20'));
    check(server, await Promise.all(results));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    if (ahead(agent) === 0) break;
    assert.ok(attempt < 10, `${ahead(agent)} moved`);
  }
});

test('a response that is paused keeps its slot', options, async (t) => {
  for (let attempt = 0; ; attempt++) {
    const { server, agent } = await start(t);
    const { request } = send(agent, server, { id: 'paused', act: 'ok/20' });
    request.removeAllListeners('response');
    const [waiting] = sendAll(agent, server, ['ok']).results;
    const [response] = await once(request, 'response');
    // As above: then it has moved before anybody could pause the response.
    const isLate = ahead(agent) > 0;
    response.pause();
    block(LONG);
    await new Promise(setImmediate);
    block(LONG);
    if (!isLate) assert.deepEqual([server.arrivals('it-0'), ahead(agent)], [0, 0]);
    response.resume();
    assert.equal((await waiting).body, 'ok:it-0');
    if (!isLate) break;
    assert.ok(attempt < 10, 'it moves without a block');
  }
});

test('no more than maxSentAhead', options, async (t) => {
  for (const maxSentAhead of [0, 1, 3]) {
    const { server, agent } = await start(t, { maxSentAhead });
    const { results } = sendAll(agent, server, Array(COUNT).fill('ok'));
    assert.ok(blockUntil(() => answered(server) === maxSentAhead + 1));
    block(LONG);
    // Asked during the block: whatever keeps JavaScript from running afterwards is another one.
    assert.deepEqual([answered(server), ahead(agent)], [maxSentAhead + 1, maxSentAhead]);
    check(server, await Promise.all(results));
  }
});

test('those behind the first maxSentAhead move in a later block', options, async (t) => {
  const { server, agent } = await start(t, { maxSentAhead: 4 });
  const { results } = sendAll(agent, server, ['ok', ...Array(COUNT - 1).fill('ok/2')]);
  await results[3];
  assert.ok(
    blockUntil(() => answered(server) >= 7),
    `${answered(server)} were answered`,
  );
  assert.ok(ahead(agent) > 0);
  check(server, await Promise.all(results));
});

test('not when maxBufferedBytes are there already', options, async (t) => {
  const { server, agent } = await start(t, { maxBufferedBytes: 90_000 });
  const { results } = sendAll(agent, server, Array(4).fill('large'));
  assert.ok(blockUntil(() => answered(server) === 1));
  block(LONG);
  assert.equal(server.arrivals('it-1'), 0);
  check(server, await Promise.all(results), (i) => `ok:it-${i}:`.padEnd(100_000, '.'));
});

test('what is not safe stays, and so does all behind it', options, async (t) => {
  const { server, agent } = await start(t);
  const { results } = sendAll(agent, server, ['ok', 'ok']);
  results.push(send(agent, server, { id: 'it-2', method: 'POST', body: 'body' }));
  results.push(send(agent, server, { id: 'it-3' }), send(agent, server, { id: 'it-4' }));
  assert.ok(blockUntil(() => answered(server) === 2));
  block(LONG);
  assert.deepEqual([server.arrivals('it-2'), server.arrivals('it-3')], [0, 0]);
  check(server, await Promise.all(results));
});

test("with sendEarly 'all' a POST moves with its body, with `false` nothing does", options, async (t) => {
  const post = { method: 'POST', body: 'a body' };
  const all = await start(t, { sendEarly: 'all' });
  const posts = sendAll(all.agent, all.server, Array(5).fill('ok'), post).results;
  assert.ok(blockUntil(() => answered(all.server) === 5));
  check(all.server, await Promise.all(posts));
  assert.deepEqual(
    all.server.events('whole').filter(({ id, length }) => id.startsWith('it-') && length === post.body.length)
      .length,
    5,
  );
  const none = await start(t, { sendEarly: false });
  const first = send(none.agent, none.server, { id: 'first', act: 'ok/cue' });
  const { results } = sendAll(none.agent, none.server, ['ok', 'ok']);
  await once(first.request, 'finish');
  none.server.post({ cue: 'first' });
  assert.ok(blockUntil(() => none.server.events('answered', 'first').length === 1));
  block(LONG);
  assert.equal(none.server.arrivals('it-0'), 0);
  check(none.server, await Promise.all(results));
});

test('what comes behind an answer is not told to others', options, async (t) => {
  for (const end of ['half', 'close', 'reset', 'timeout', 'forge']) {
    for (const method of ['GET', 'POST']) {
      // It-2 is handed over when it-1 has its lane, so it does not move too.
      const { server, agent } = await start(t, { maxSentAhead: 1 });
      const body = method === 'POST' ? 'body' : undefined;
      const first = send(agent, server, { id: 'it-0' });
      // All that the block has brought is there before the next one has its lane.
      first.request.prependListener('response', (response) => {
        response.pause();
        setTimeout(() => response.resume(), LONG);
      });
      const results = [
        first,
        // It moves, and the connection ends behind its answer, or a forged answer comes there.
        send(agent, server, { id: 'it-1', then: `${end}/0` }),
        // It gets the lane next, and its answer is under way for some turns of the loop.
        send(agent, server, { id: 'it-2', act: 'slow-body', method, body }),
      ];
      const other = new Agent();
      t.after(() => other.destroy());
      results[1].request.on('response', (response) =>
        response.on('end', async () => {
          // When the lane has moved on, its place may be another one's.
          for (let i = 0; i < 5; i++) await new Promise(process.nextTick);
          results.push(send(other, server, { id: 'it-3' }));
        }),
      );
      assert.ok(blockUntil(() => server.events('closed').length === 1));
      block(LONG);
      await Promise.all(results);
      check(server, await Promise.all(results));
      assert.equal(results.length, 4);
      assert.equal(ahead(agent), 1);
    }
  }
});

test(
  'what is kept for a lane that has moved on does not lead it to where another waits',
  options,
  async (t) => {
    for (const end of ['half', 'close']) {
      const { server, agent } = await start(t, { maxSentAhead: 1 });
      const results = [
        send(agent, server, { id: 'it-0' }),
        // It moves, and something comes behind its answer, when its lane has moved to the next one.
        send(agent, server, { id: 'it-1', act: 'ok', then: `${end}/10` }),
        send(agent, server, { id: 'it-2', act: 'ok/cue' }),
        // It waits where that one has waited, and moves while the program does not read the answer before it.
        send(agent, server, { id: 'it-3' }),
        send(agent, server, { id: 'it-4' }),
      ];
      for (const { request } of [results[0], results[2]]) {
        request.prependListener('response', (response) => {
          response.pause();
          setTimeout(() => response.resume(), LONG);
        });
      }
      assert.ok(blockUntil(() => server.events('closed').length === 1));
      block(LONG);
      await results[1];
      // The lane has moved on, and all that was kept has been told.
      await until(() => server.arrivals('it-2') === 1);
      for (let turn = 0; turn < COUNT; turn++) await new Promise(setImmediate);
      server.post({ cue: 'it-2' });
      assert.ok(blockUntil(() => server.events('answered', 'it-3').length === 1));
      check(server, await Promise.all(results));
      assert.deepEqual([ahead(agent), server.events('accept').length], [2, 2], end);
    }
  },
);

test('a request that is still being written to is not passed by', options, async (t) => {
  const { server, agent } = await start(t, { sendEarly: 'all' });
  const first = send(agent, server, {
    id: 'first',
    act: 'ok@1',
    method: 'POST',
    headers: { 'transfer-encoding': 'chunked' },
    body: (request) => request.write('some'),
  });
  await once(first.request, 'socket');
  await new Promise(setImmediate);
  const [waiting] = sendAll(agent, server, ['ok']).results;
  assert.ok(blockUntil(() => server.events('answered', 'first').length === 1));
  block(LONG);
  assert.equal(server.arrivals('it-0'), 0);
  first.request.destroy();
  assert.equal((await waiting).body, 'ok:it-0');
});

test('not where a listener or a method of the program’s could tell', options, async (t) => {
  class Choosing extends Agent {
    createSocket(...args) {
      return super.createSocket(...args);
    }
  }
  const cases = {
    "a listener for the agent's 'free'": [Agent, (agent) => agent.on('free', () => {})],
    'a createSocket of its own': [Choosing, () => {}],
    "a listener for 'socket'": [Agent, () => {}, (request) => request.on('socket', () => {})],
    'an end() of its own': [Agent, () => {}, (request) => (request.end = http.ClientRequest.prototype.end)],
  };
  for (const [title, [Class, prepare, spoil]] of Object.entries(cases)) {
    const { server, agent } = await start(t, {}, Class);
    prepare(agent);
    const first = send(agent, server, { id: 'first', act: 'ok/cue' });
    await once(first.request, 'finish');
    const body = (request) => {
      spoil?.(request);
      request.end();
    };
    const waiting = send(agent, server, { id: 'it-0', body });
    server.post({ cue: 'first' });
    assert.ok(blockUntil(() => server.events('answered', 'first').length === 1));
    block(LONG);
    assert.deepEqual([(await first).body, (await waiting).body], ['ok:first', 'ok:it-0'], title);
    assert.equal(ahead(agent), 0, title);
  }
});

test('one that is destroyed before its turn is not sent', options, async (t) => {
  const { server, agent } = await start(t);
  const { order, results } = sendAll(agent, server, Array(6).fill('ok'));
  results[2].request.destroy();
  assert.ok(blockUntil(() => answered(server) === 5));
  const all = await Promise.all(results);
  const [{ error }] = all.splice(2, 1);
  assert.deepEqual([error.code, error.reason], ['ECONNRESET', 'aborted']);
  assert.deepEqual([error.connection.bytesWritten, error.connection.bytesRead], [0, 0]);
  assert.equal(server.arrivals('it-2'), 0);
  assert.deepEqual(
    all.map(({ body }) => body),
    [0, 1, 3, 4, 5].map((i) => `ok:it-${i}`),
  );
  assert.deepEqual(
    order.filter((i) => i !== 2),
    [0, 1, 3, 4, 5],
  );
  assert.equal(server.events('accept').length, 1);
});

for (const [title, index, acts] of [
  ['was answered', 2, Array(6).fill('ok')],
  ['was sent last', 5, Array(6).fill('ok')],
  ['is not answered', 2, ['ok', 'ok', 'hang', 'ok', 'ok', 'ok']],
  ['is answered in part', 2, ['ok', 'ok', 'part-hang', 'ok', 'ok', 'ok']],
]) {
  test(`one that ${title} when it is destroyed says that it was sent`, options, async (t) => {
    const { server, agent } = await start(t);
    const { results } = sendAll(agent, server, acts);
    const settled = acts.includes('ok', index + 1) && acts[index] === 'ok' ? 6 : index + 1;
    assert.ok(blockUntil(() => server.events('request').length === settled + 1));
    if (acts[index] !== 'hang')
      assert.ok(blockUntil(() => server.events('answered', `it-${index}`).length > 0));
    block(LONG);
    results[index].request.destroy();
    const all = await Promise.all(results);
    const [{ error }] = all.splice(index, 1);
    assert.deepEqual([error.code, error.reason], ['ECONNRESET', 'aborted']);
    assert.ok(error.connection.bytesWritten > 0);
    assert.equal(error.connection.bytesRead > 0, acts[index] !== 'hang');
    assert.equal(server.arrivals(`it-${index}`), 1);
    for (const { body, id } of all) {
      assert.equal(body, `ok:${id}`);
      assert.equal(server.arrivals(id), 1);
    }
    assert.equal(mostOpen(server), 1);
    assert.equal((await send(agent, server, { id: 'next' })).body, 'ok:next');
  });
}

test(
  'nor if JavaScript does not get the processor behind the answer that it may be taken back',
  options,
  async (t) => {
    const { server, agent } = await start(t);
    const { Crossing } = native;
    const { withdraw } = Crossing.prototype;
    const { mock } = t.mock.method(Crossing.prototype, 'withdraw', function (...args) {
      const facts = withdraw.apply(this, args);
      block(LONG);
      return facts;
    });
    for (let i = 0; i < COUNT; i++) {
      const first = send(agent, server, { id: `first-${i}`, act: 'ok/cue' });
      await until(() => server.arrivals(`first-${i}`) === 1 && first.request.socket !== null);
      const second = send(agent, server, { id: `second-${i}` });
      server.post({ cue: `first-${i}` });
      // As Node does for an upgrade. The next one gets a new socket now, in the tick in which it was handed over.
      first.request.socket.emit('agentRemove');
      const bodies = [(await first).body, (await second).body];
      assert.deepEqual(bodies, [`ok:first-${i}`, `ok:second-${i}`]);
      assert.equal(server.arrivals(`second-${i}`), 1);
    }
    assert.equal(mock.callCount(), COUNT);
  },
);

test(
  'nothing is handed over for connections that the server closes, until one is kept',
  options,
  async (t) => {
    const { server, agent } = await start(t, { maxSockets: 2 });
    const handedOver = t.mock.method(Place.prototype, 'wait').mock;
    const callers = 6;
    // Each of a caller's requests finds the others waiting.
    const call = async (acts) => {
      for (const act of acts) assert.equal((await send(agent, server, { id: 'x', act })).status, 200);
    };
    const callAll = (acts) => Promise.all(Array.from({ length: callers }, () => call(acts)));
    await callAll(Array(COUNT).fill('last'));
    const before = handedOver.callCount();
    assert.ok(before <= callers, `${before} were`);
    await callAll(['last', 'last', ...Array(COUNT).fill('ok')]);
    const others = handedOver.callCount() - before;
    assert.ok(others > 2 * callers, `${others} were`);
  },
);

test('one of which nobody can say whether it was sent fails, and no other does', options, async (t) => {
  for (const end of ['request', 'socket']) {
    const { server, agent } = await start(t);
    // As when the thread that knows gets no processor for too long.
    const { mock } = t.mock.method(native.Crossing.prototype, 'withdraw');
    mock.mockImplementationOnce(() => null);
    const { results } = sendAll(agent, server, ['ok/cue', 'ok', 'ok']);
    await until(() => server.arrivals('it-0') === 1 && results[0].request.socket !== null);
    // The next gets a new lane, which would connect, or go on with what has been sent.
    if (end === 'request') results[0].request.destroy();
    else results[0].request.socket.destroy();
    const [, { error }, { body }] = await Promise.all(results);
    assert.equal(error.code, 'ECONNRESET');
    assert.equal(error.connection.bytesWritten, undefined, 'nobody knows');
    assert.equal(body, 'ok:it-2');
    assert.deepEqual([server.arrivals('it-1'), server.arrivals('it-2')], [0, 1]);
    assert.equal((await send(agent, server, { id: 'next' })).body, 'ok:next');
    mock.restore();
  }
});

test('the others have their answers if the first is destroyed, or its socket', options, async (t) => {
  for (const end of ['request', 'socket', 'response']) {
    const { server, agent } = await start(t);
    const { results } = sendAll(agent, server, ['ok/cue', ...Array(5).fill('ok')]);
    const { request } = results[0];
    if (end === 'response') request.on('response', (response) => response.destroy());
    await once(request, 'finish');
    server.post({ cue: 'it-0' });
    assert.ok(blockUntil(() => answered(server) === 6));
    if (end === 'request') request.destroy();
    if (end === 'socket') request.socket.destroy();
    const others = await Promise.all(results.slice(1));
    for (const [i, { body, error }] of others.entries()) {
      assert.deepEqual([error, body], [undefined, `ok:it-${i + 1}`], end);
      assert.equal(server.arrivals(`it-${i + 1}`), 1);
    }
    assert.equal(ahead(agent), 5);
    assert.equal(mostOpen(server), 1);
  }
});

test('a lane that takes such an answer over connects, as far as a program sees', options, async (t) => {
  const { server, agent } = await start(t);
  const { results } = sendAll(agent, server, ['ok/cue', 'ok']);
  const seen = [];
  let socket;
  results[1].request.on('socket', (given) => {
    socket = given;
    seen.push(socket.connecting);
    for (const name of ['connect', 'ready', 'secureConnect']) socket.on(name, () => seen.push(name));
  });
  await once(results[0].request, 'finish');
  server.post({ cue: 'it-0' });
  assert.ok(blockUntil(() => answered(server) === 2));
  results[0].request.destroy();
  const { body } = await results[1];
  assert.equal(body, 'ok:it-1');
  assert.deepEqual(seen, [true, 'connect', 'ready', ...(isTcp ? [] : ['secureConnect'])]);
  assert.equal(socket.localPort, server.events('accept')[0].port);
  if (!isTcp) assert.deepEqual([socket.authorized, socket.getPeerCertificate().raw.length > 0], [true, true]);
  // It is a lane like others.
  assert.equal((await send(agent, server, { id: 'next', method: 'POST' })).body, 'ok:next');
  assert.equal(server.events('accept').length, 1);
});

for (const [title, act, during, connections] of [
  ['says Connection: close', 'last', 3, 2],
  ['says that it takes one more', 'hint-max,ok', 4, 2],
  ['has bytes behind it', 'double', 3, 2],
]) {
  test(`behind a response that ${title} the others wait for JavaScript`, options, async (t) => {
    const { server, agent } = await start(t);
    const { results } = sendAll(agent, server, ['ok', 'ok', act, 'ok', 'ok']);
    assert.ok(
      blockUntil(() => answered(server) === during),
      `${answered(server)} were answered`,
    );
    block(LONG);
    assert.equal(answered(server), during);
    const all = await Promise.all(results);
    if (act !== 'double') check(server, all);
    // Its forged part is nobody's answer.
    for (const [i, { id, body }] of all.entries()) {
      if (i !== 2) assert.deepEqual([id, body, server.arrivals(id)], [`it-${i}`, `ok:it-${i}`, 1]);
    }
    // The server notes that a little after it has answered.
    await until(() => server.events('accept').length >= connections);
    assert.equal(server.events('accept').length, connections);
    assert.equal(mostOpen(server), 1);
  });
}

for (const death of ['close', 'reset', 'half']) {
  test(
    `one whose connection ends by ${death} is sent again, once, and the others follow`,
    options,
    async (t) => {
      const { server, agent } = await start(t);
      const { results } = sendAll(agent, server, ['ok', 'ok', `${death},ok`, 'ok', 'ok']);
      assert.ok(
        blockUntil(() => answered(server) === 5),
        `${answered(server)} were answered`,
      );
      const all = await Promise.all(results);
      for (const [i, { body, request }] of all.entries()) {
        const times = i === 2 ? 2 : 1;
        assert.deepEqual([body, request.attempts, server.arrivals(`it-${i}`)], [`ok:it-${i}`, times, times]);
      }
    },
  );

  test(`one that may not be sent again fails by ${death}, and no other does`, options, async (t) => {
    const { server, agent } = await start(t, { retry: false });
    const { results } = sendAll(agent, server, ['ok', 'ok', `${death},ok`, 'ok', 'ok']);
    assert.ok(blockUntil(() => server.arrivals('it-2') === 1));
    block(LONG);
    const all = await Promise.all(results);
    const [{ error, request }] = all.splice(2, 1);
    assert.deepEqual([error.code, request.attempts, server.arrivals('it-2')], ['ECONNRESET', 1, 1]);
    assert.match(error.reason, /^peer-/);
    assert.ok(error.connection.bytesWritten > 0);
    for (const { body, id } of all) assert.deepEqual([body, server.arrivals(id)], [`ok:${id}`, 1]);
  });
}

test('an end that comes behind a response costs none anything', options, async (t) => {
  for (const then of ['close/0', 'reset/0', 'half/0', 'timeout/0', 'close/2', 'reset/2']) {
    const { server, agent } = await start(t);
    const { results } = sendAll(agent, server, Array(6).fill('ok'), { then });
    assert.ok(blockUntil(() => server.events('closed').length >= 1));
    block(LONG);
    for (const [i, { id, body, status }] of (await Promise.all(results)).entries()) {
      // A 408 that crosses the request cannot be told from its answer.
      if (status !== 408) assert.deepEqual([id, body], [`it-${i}`, `ok:it-${i}`], then);
      assert.ok(server.arrivals(`it-${i}`) <= 2);
    }
  }
});

test('on several sockets each answer is found where it came from', options, async (t) => {
  const { server, agent } = await start(t, { maxSockets: 3 });
  const acts = Array.from({ length: 30 }, (_, i) => ['ok', 'chunked', 'ok/2', 'slow-body', 'large'][i % 5]);
  const results = acts.map((act, i) => {
    const { request } = send(agent, server, { id: `it-${i}`, act });
    request.removeAllListeners('response');
    return once(request, 'response').then(async ([response]) => {
      // Slow readers: sockets become free in another order than that in which the answers came.
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, i % 7));
      let body = '';
      for await (const chunk of response) body += chunk;
      return { id: response.headers['x-id'], body: body.split(':', 2).join(':') };
    });
  });
  assert.ok(
    blockUntil(() => answered(server) === acts.length),
    `${answered(server)} were answered`,
  );
  for (const [i, { id, body }] of (await Promise.all(results)).entries()) {
    assert.deepEqual([id, body, server.arrivals(id)], [`it-${i}`, `ok:it-${i}`, 1]);
  }
  assert.ok(mostOpen(server) <= 3);
  assert.deepEqual(agent.requests, Object.create(null));
});

/**
 * Two sockets, and two requests that take them. JavaScript is blocked where the first response ends: the connection of
 * the second socket has passed on to a request meanwhile, for which the first socket comes.
 */
async function cross(t) {
  const { server, agent } = await start(t, { maxSockets: 2 });
  const first = send(agent, server, { id: 'first' });
  const second = send(agent, server, { id: 'second', act: 'ok/cue' });
  const ahead = send(agent, server, { id: 'ahead', act: 'ok/cue' });
  first.request.on('response', (response) =>
    response.on('end', () => {
      server.post({ cue: 'second' });
      assert.ok(blockUntil(() => server.arrivals('ahead') === 1));
    }),
  );
  const portOf = (id) => {
    const [{ connection }] = server.events('request', id);
    return server.events('accept').find((event) => event.connection === connection).port;
  };
  return { server, agent, first, second, ahead, portOf };
}

test('a socket whose connection has passed on gets that of the socket which comes', options, async (t) => {
  const { server, agent, first, second, ahead, portOf } = await cross(t);
  const behind = send(agent, server, { id: 'behind' });
  for (const [id, pending] of Object.entries({ first, second, behind })) {
    const { error, body } = await pending;
    assert.deepEqual([error, body], [undefined, `ok:${id}`]);
  }
  const { socket } = behind.request;
  assert.equal(socket, second.request.socket);
  assert.equal(socket.localPort, portOf('behind'));
  assert.equal(portOf('behind'), portOf('first'));
  server.post({ cue: 'ahead' });
  const { body, request } = await ahead;
  assert.equal(body, 'ok:ahead');
  assert.equal(request.socket.localPort, portOf('second'));
  assert.deepEqual([server.events('accept').length, server.events('closed').length], [2, 0]);
});

test('it has that while it is idle, and from then on', options, async (t) => {
  const { server, agent, first, second, ahead, portOf } = await cross(t);
  assert.deepEqual([(await first).body, (await second).body], ['ok:first', 'ok:second']);
  await until(() => Object.values(agent.freeSockets).flat().length === 1);
  const next = await send(agent, server, { id: 'next', method: 'POST', body: 'body' });
  assert.equal(next.body, 'ok:next');
  assert.equal(next.request.socket.localPort, portOf('next'));
  assert.equal(portOf('next'), portOf('first'));
  server.post({ cue: 'ahead' });
  assert.equal((await ahead).body, 'ok:ahead');
  assert.deepEqual([server.events('accept').length, server.events('closed').length], [2, 0]);
});

for (const end of ['close', 'half', 'reset'])
  test(`it is lost before that by ${end}, and costs no request anything`, options, async (t) => {
    const { server, agent, first, second, ahead } = await cross(t);
    second.request.removeAllListeners('response');
    const [response] = await once(second.request, 'response');
    // The second socket is not free before this, and the first one has come for the other request.
    await first;
    await until(() => ahead.request.socket === first.request.socket);
    const [{ connection }] = server.events('request', 'first');
    server.post({ end, connections: [connection] });
    await until(() => server.events('closed').length === 1);
    let body = '';
    for await (const chunk of response) body += chunk;
    assert.equal(body, 'ok:second');
    const behind = await send(agent, server, { id: 'behind', method: 'POST', body: 'body' });
    assert.deepEqual([behind.error, behind.body], [undefined, 'ok:behind']);
    assert.equal(behind.request.socket, second.request.socket);
    server.post({ cue: 'ahead' });
    assert.equal((await ahead).body, 'ok:ahead');
  });

test(
  'a queueTimeout that was over during the block is no error, another one says what was sent',
  options,
  async (t) => {
    const { server, agent } = await start(t, { queueTimeout: 30 });
    const { results } = sendAll(agent, server, Array(5).fill('ok'));
    assert.ok(blockUntil(() => answered(server) === 5));
    block(LONG);
    check(server, await Promise.all(results));

    const first = send(agent, server, { id: 'first' });
    first.request.removeAllListeners('response');
    first.request.on('response', (response) => response.pause());
    const late = send(agent, server, { id: 'late' });
    assert.ok(blockUntil(() => server.events('answered', 'late').length === 1));
    const { error } = await late;
    assert.deepEqual([error.code, error.reason], ['ERR_QUEUE_TIMEOUT', 'queue-timeout']);
    assert.ok(error.connection.bytesWritten > 0);
  },
);

test(
  'agent.destroy() behind the block loses no request but those that were on a socket',
  options,
  async (t) => {
    const { server, agent } = await start(t);
    const { results } = sendAll(agent, server, ['ok/cue', ...Array(4).fill('ok')]);
    await once(results[0].request, 'finish');
    server.post({ cue: 'it-0' });
    assert.ok(blockUntil(() => answered(server) === 5));
    agent.destroy();
    const [first, ...others] = await Promise.all(results);
    assert.equal(first.error?.code, 'ECONNRESET');
    for (const { id, body } of others) assert.deepEqual([body, server.arrivals(id)], [`ok:${id}`, 1]);
  },
);

test('each gets its answer in an async context of its own, ticks and all', options, async (t) => {
  const storage = new AsyncLocalStorage();
  const { server, agent } = await start(t);
  const seen = [];
  const results = Array.from({ length: 6 }, (_, i) =>
    storage.run(i, () => {
      const result = send(agent, server, { id: `it-${i}` });
      result.request.on('response', (response) => {
        seen.push([i, 'response', storage.getStore()]);
        response.on('end', () => {
          seen.push([i, 'end', storage.getStore()]);
          process.nextTick(() => Promise.resolve().then(() => seen.push([i, 'then', storage.getStore()])));
        });
      });
      return result;
    }),
  );
  assert.ok(blockUntil(() => answered(server) === 6));
  await Promise.all(results);
  await new Promise(setImmediate);
  const expected = [...results.keys()].flatMap((i) =>
    ['response', 'end', 'then'].map((name) => [i, name, i]),
  );
  assert.deepEqual(seen, expected);
});

test('in a worker thread too', { ...options, skip: !isTcp }, async (t) => {
  const server = await startServer(t);
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const { HttpAgent } = require(workerData.offloop);
     const { block, send } = require(workerData.helper);
     const agent = new HttpAgent({ maxSockets: 1 });
     parentPort.postMessage('ready');
     const results = [];
     for (let i = 0; i < 10; i++) results.push(send(agent, { port: workerData.port }, { id: 'it-' + i }));
     while (Atomics.load(workerData.shared, 0) === 0) block(1);
     Promise.all(results).then((all) => {
       parentPort.postMessage(all.map(({ body }) => body));
       agent.destroy();
     });`,
    {
      eval: true,
      workerData: {
        offloop: require.resolve('..'),
        helper: require.resolve('./helpers/blocked'),
        port: server.port,
        shared,
      },
    },
  );
  t.after(() => worker.terminate());
  await once(worker, 'message');
  assert.ok(blockUntil(() => answered(server) === COUNT));
  Atomics.store(shared, 0, 1);
  const [bodies] = await once(worker, 'message');
  assert.deepEqual(
    bodies,
    Array.from({ length: COUNT }, (_, i) => `ok:it-${i}`),
  );
});

test('whatever is answered, in whatever order it is read, each has its own answer', options, async (t) => {
  const seed = newSeed(t);
  const { random } = generator(seed);
  // What is learned of a server whose connections die may stand in the way elsewhere.
  const [server, calm] = [await startServer(t), await startServer(t)];
  let moved = 0;
  for (let round = 0; round < 25; round++) {
    // Now and then nothing stands in the way.
    const isCalm = round % 5 === 0;
    moved += await randomRound(random, isCalm ? calm : server, { round, isCalm }, seed);
  }
  assert.ok(moved > 0);
});

async function randomRound(random, server, { round, isCalm }, seed) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const maxSockets = pick([1, 1, 2, 3]);
  const agent = new Agent({ maxSockets, maxSentAhead: pick([2, 64]), sendEarly: pick(['safe', 'all']) });
  await warm(agent, server, maxSockets);
  const deaths = ['last', 'close,ok', 'reset,ok', 'half,ok'];
  const acts = ['ok', 'ok', 'chunked', 'slow-body', 'large', 'ok/3', ...(isCalm ? [] : deaths)];
  const methods = isCalm ? ['GET', 'HEAD'] : ['GET', 'GET', 'GET', 'HEAD', 'POST'];
  const before = answered(server);
  const all = [];
  for (let i = 0; i < 20; i++) {
    const id = `it-${round}-${i}`;
    const method = pick(methods);
    const act = pick(acts);
    const result = send(agent, server, { id, act, method, body: method === 'POST' ? id : undefined });
    const one = { id, method, act, aborted: false, result };
    all.push(one);
    const { request } = result;
    if (isCalm) continue;
    const abort = () => {
      one.aborted = true;
      request.destroy();
    };
    if (random() < 0.06) setTimeout(abort, random() * 20);
    else if (random() < 0.03) setImmediate(abort);
    if (random() < 0.2) {
      request.prependListener('response', (response) => {
        response.pause();
        setTimeout(() => response.resume(), random() * 10);
      });
    }
    if (random() < 0.05) block(random() * 15);
    if (random() < 0.05) await new Promise(setImmediate);
  }
  if (isCalm) assert.ok(blockUntil(() => answered(server) > before + maxSockets));
  else if (random() < 0.5) blockUntil(() => answered(server) > before + maxSockets + 2, 300);
  else block(random() * 60);
  await Promise.all(all.map(({ result }) => closed(result.request)));
  const moved = ahead(agent);
  agent.destroy();
  for (const { id, method, act, aborted, result } of all) {
    const text = `${id} ${method} ${act}, seed ${seed}`;
    const arrivals = server.arrivals(id);
    const isRepeated = act.includes(',') && method !== 'POST';
    assert.ok(arrivals <= (isRepeated ? 2 : 1), `came ${arrivals} times: ${text}`);
    if (aborted) continue;
    const { error, id: answer, body, status } = await result;
    if (error !== undefined) {
      // The deaths: a POST is not sent again, and none on a fresh connection.
      assert.ok(act.includes(','), `${error.code}: ${text}`);
      continue;
    }
    const whole = method === 'HEAD' ? '' : `ok:${id}`;
    assert.deepEqual([status, answer, body.replace(/:\.+$/, '')], [200, id, whole], text);
  }
  return moved;
}
