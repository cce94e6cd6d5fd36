'use strict';

// A timer that has run out while JavaScript was busy is no sign that the server was silent: what has come
// meanwhile counts first.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { blockUntil, block, send, transport, warm } = require('./helpers/blocked');

const { Agent, startServer } = transport();
/** Over TLS what the timer has to do with the handshake, which takes long on a busy machine, is not the subject. */
const isTcp = Agent === HttpAgent;

const patience = { timeout: 20_000 };
const overTcp = { ...patience, skip: !isTcp };
/** ms; the loop is blocked for longer. */
const TIMEOUT = 150;
/** ms in which an answer that the server has given comes in, also if the timeout was over by then. */
const ON_ITS_WAY = 80;

/** An agent for the length of a test. */
function ourAgent(t, options) {
  const agent = new Agent(options);
  t.after(() => agent.destroy());
  return agent;
}

/** Blocks until the timeout is long over, and what was answered is there. */
function blockBeyond(start) {
  block(Math.max(ON_ITS_WAY, start + 2 * TIMEOUT - performance.now()));
}

/** Sends a request that is answered during a block, and returns the timeouts that were told of. */
async function timeoutsOf(t, { options, reused, prepare, ...request }) {
  const server = await startServer(t);
  const agent = ourAgent(t, options);
  if (reused) await warm(agent, server);
  const sent = send(agent, server, { id: 'x', act: 'ok/30', ...request });
  const seen = [];
  sent.request.on('timeout', () => seen.push('request'));
  sent.request.on('socket', (socket) => {
    socket.on('timeout', () => seen.push('socket'));
    prepare?.(sent.request, socket);
  });
  // On its way: the timer runs from now on.
  await once(sent.request, 'finish');
  await new Promise(setImmediate);
  const start = performance.now();
  assert.ok(blockUntil(() => server.events('answered', 'x').length > 0));
  blockBeyond(start);
  const { status, error } = await sent;
  assert.deepStrictEqual([status, error], [200, undefined]);
  return seen;
}

for (const reused of isTcp ? [false, true] : [true]) {
  const on = reused ? 'a reused connection' : 'a fresh connection';
  test(`the timeout of a request, on ${on}`, patience, async (t) => {
    assert.deepStrictEqual(await timeoutsOf(t, { timeout: TIMEOUT, reused }), []);
  });

  test(`request.setTimeout(), on ${on}`, patience, async (t) => {
    const prepare = (request) => request.setTimeout(TIMEOUT);
    assert.deepStrictEqual(await timeoutsOf(t, { prepare, reused }), []);
  });

  test(`socket.setTimeout(), on ${on}`, patience, async (t) => {
    const prepare = (request, socket) => socket.setTimeout(TIMEOUT);
    assert.deepStrictEqual(await timeoutsOf(t, { prepare, reused }), []);
  });

  test(`the agent’s timeout, on ${on}`, patience, async (t) => {
    assert.deepStrictEqual(await timeoutsOf(t, { options: { timeout: TIMEOUT }, reused }), []);
  });
}

test('many at once', overTcp, async (t) => {
  const server = await startServer(t);
  const agent = ourAgent(t);
  let timeouts = 0;
  const sent = Array.from({ length: 40 }, (_, i) => {
    const one = send(agent, server, { id: `x${i}`, act: 'ok/30', timeout: TIMEOUT });
    one.request.on('timeout', () => timeouts++);
    return one;
  });
  await Promise.all(sent.map(({ request }) => once(request, 'finish')));
  const start = performance.now();
  assert.ok(blockUntil(() => server.events('answered').length === sent.length));
  blockBeyond(start);
  for (const { status } of await Promise.all(sent)) assert.strictEqual(status, 200);
  assert.strictEqual(timeouts, 0);
});

test('a server that was silent is told of, also after a block', overTcp, async (t) => {
  const server = await startServer(t);
  const request = send(ourAgent(t), server, { id: 'x', act: 'hang', timeout: TIMEOUT }).request;
  let timeouts = 0;
  request.on('timeout', () => timeouts++);
  await once(request, 'finish');
  block(2 * TIMEOUT);
  if (timeouts === 0) await once(request, 'timeout');
  assert.strictEqual(timeouts, 1);
  request.destroy();
});

test('a silent server is told of when the time is up, and not when it is up again', patience, async (t) => {
  const server = await startServer(t);
  const timeout = 1000;
  const agents = Array.from({ length: 12 }, () => ourAgent(t));
  await Promise.all(agents.map((agent) => warm(agent, server)));
  const told = agents.map(async (agent, i) => {
    // Not all in one turn of the loop: it is about parts of a millisecond.
    await new Promise((resolve) => setTimeout(resolve, 7 * i));
    const { request } = send(agent, server, { id: `x${i}`, act: 'hang', timeout });
    // As long as the loop stands still neither is told of, and then they come in the order of their times.
    const second = new Promise((resolve) => setTimeout(resolve, 2 * timeout - 100, 'twice').unref());
    const first = once(request, 'timeout').then(() => 'once');
    const which = await Promise.race([first, second]);
    request.destroy();
    return which;
  });
  assert.deepStrictEqual(await Promise.all(told), Array(agents.length).fill('once'));
});

test(
  'the time of what was written before a block, and leaves behind it, begins when it leaves',
  patience,
  async (t) => {
    const server = await startServer(t);
    const agent = ourAgent(t);
    await warm(agent, server);
    const timeout = 600;
    const options = {
      id: 'x',
      act: 'ok/30',
      method: 'POST',
      timeout,
      body: (request) => request.flushHeaders(),
    };
    const sent = send(agent, server, options);
    let timeouts = 0;
    sent.request.on('timeout', () => timeouts++);
    while (server.arrivals('x') === 0) await new Promise(setImmediate);
    sent.request.end('x');
    block(timeout + 100);
    const { status } = await sent;
    assert.deepStrictEqual([status, timeouts], [200, 0]);
  },
);

test('the timer runs again after bytes that came during a block', overTcp, async (t) => {
  const server = await startServer(t);
  // The beginning of a response comes during the block, and nothing after it.
  const sent = send(ourAgent(t), server, { id: 'x', act: 'part-hang/30', timeout: TIMEOUT });
  const order = [];
  for (const name of ['response', 'timeout']) sent.request.on(name, () => order.push(name));
  await once(sent.request, 'finish');
  assert.ok(blockUntil(() => server.events('answered', 'x').length > 0));
  block(2 * TIMEOUT);
  await once(sent.request, 'timeout');
  assert.deepStrictEqual(order, ['response', 'timeout']);
  sent.request.destroy();
});

test('a handler that throws while the timer asks costs the others nothing', overTcp, async (t) => {
  const server = await startServer(t);
  const script = `
    const { block, blockUntil, send } = require('./__test__/helpers/blocked');
    const { HttpAgent } = require('.');
    const agent = new HttpAgent();
    process.on('uncaughtException', (error) => console.log(error.message));
    let sent = 0;
    for (const id of ['x', 'y', 'z']) {
      const result = send(agent, { port: ${server.port} }, { id, act: 'ok/30', timeout: ${TIMEOUT} });
      result.request.on('response', () => {
        if (id === 'y') throw new Error('thrown by a handler');
      });
      result.request.on('timeout', () => console.log('timeout'));
      result.then(({ status }) => console.log(id, status));
      result.request.on('finish', () => ++sent === 3 && setImmediate(block, ${4 * TIMEOUT}));
    }`;
  const env = { ...process.env };
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(process.execPath, ['-e', script], { cwd: path.join(__dirname, '..'), env });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  t.after(() => child.kill());
  while (!/x 200[^]*z 200|z 200[^]*x 200/.test(output)) await once(child.stdout, 'data');
  assert.deepStrictEqual(output.trim().split('\n').toSorted(), ['thrown by a handler', 'x 200', 'z 200']);
});
