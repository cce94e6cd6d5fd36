'use strict';

const assert = require('node:assert');
const { AsyncLocalStorage, createHook, executionAsyncId } = require('node:async_hooks');
const { once } = require('node:events');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { asNode, closed, exchange, exchangeAndIdle, nextTurn } = require('./helpers/request');

const OURS = path.join(__dirname, '..', 'lib', path.sep);
const storage = new AsyncLocalStorage();

/** Sends a request in the context `name`, and notes the context of everything that it hears of. */
function inContext(name, options, body) {
  return storage.run(name, () => {
    const seen = {};
    const note = (event) => (seen[event] = storage.getStore());
    const request = http.request(options);
    for (const event of ['socket', 'finish', 'error', 'timeout']) request.on(event, () => note(event));
    request.on('response', (response) => {
      note('response');
      response.on('data', () => note('data'));
      response.on('end', () => note('end'));
      response.on('close', () => note('response close'));
      // Where promises and timers made in a handler lead.
      Promise.resolve().then(() => note('promise'));
      setImmediate(() => note('immediate'));
      process.nextTick(() => note('tick'));
    });
    request.end(body, () => note('end callback'));
    const done = new Promise((resolve) => request.on('close', () => resolve(note('close'))));
    return done.then(nextTurn).then(() => seen);
  });
}

const everywhere = (seen, name) => {
  for (const [event, context] of Object.entries(seen)) assert.strictEqual(context, name, event);
};

test(
  'a request on a new connection is heard in the context of its caller',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const seen = await asNode(t, (make) => inContext('mine', { ...server.at, agent: make() }));
    everywhere(seen, 'mine');
    assert.ok('response' in seen && 'data' in seen && 'end' in seen && 'close' in seen);
  },
);

test(
  'so is one on a reused connection, not in that of the request before',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const seen = await asNode(t, async (make) => {
      const agent = make();
      const all = [];
      for (const name of ['first', 'second', 'third']) {
        const free = once(agent, 'free');
        all.push(await inContext(name, { ...server.at, agent, method: 'POST' }, 'body'));
        await free;
      }
      return all;
    });
    for (const [n, name] of ['first', 'second', 'third'].entries()) everywhere(seen[n], name);
  },
);

test('so are requests that waited for a socket', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const names = ['a', 'b', 'c', 'd'];
  const seen = await asNode(t, (make) => {
    const agent = make({ maxSockets: 1 });
    return Promise.all(names.map((name) => inContext(name, { ...server.at, agent })));
  });
  for (const [n, name] of names.entries()) everywhere(seen[n], name);
});

test('so are many at a time, whose responses come together', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const names = Array.from({ length: 40 }, (_, n) => `request ${n}`);
  const seen = await asNode(t, (make) => {
    const agent = make({ maxSockets: 10 });
    return Promise.all(names.map((name) => inContext(name, { ...server.at, agent })));
  });
  for (const [n, name] of names.entries()) everywhere(seen[n], name);
});

test('an error is heard in the context of the caller', { timeout: 20_000 }, async (t) => {
  let kill = false;
  const server = await echoServer(t, {
    listener: (request, response) => (kill ? request.socket.destroy() : response.end()),
  });
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const results = [];
    // On a new connection, on a reused one (POST, so that nothing is sent again), and on none at all.
    kill = true;
    results.push(await inContext('new', { ...server.at, agent }));
    kill = false;
    await exchangeAndIdle({ ...server.at, agent });
    kill = true;
    results.push(await inContext('reused', { ...server.at, agent, method: 'POST' }, 'body'));
    results.push(await inContext('refused', { host: '127.0.0.1', port: 1, agent }));
    return results.map(({ error, close, socket }) => ({ error, close, socket }));
  });
  assert.deepStrictEqual(
    seen.map(({ error }) => error),
    ['new', 'reused', 'refused'],
  );
});

test('a timeout is heard in the context of the caller', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: () => {} });
  const context = await asNode(t, async (make) => {
    const agent = make();
    return storage.run('mine', async () => {
      const request = http.get({ ...server.at, agent, timeout: 40 });
      const context = await new Promise((resolve) =>
        request.on('timeout', () => resolve(storage.getStore())).on('error', () => {}),
      );
      request.destroy();
      await closed(request);
      return context;
    });
  });
  assert.strictEqual(context, 'mine');
});

test('the socket’s events have the context of the request that has it', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const seen = [];
    const watch = (socket) => {
      socket.on('connect', () => seen.push(['connect', storage.getStore()]));
      socket.prependListener('data', () => seen.push(['data', storage.getStore()]));
    };
    for (const name of ['one', 'two']) {
      const free = once(agent, 'free');
      await storage.run(name, () => {
        const request = http.get({ ...server.at, agent }, (response) => response.resume());
        if (name === 'one') request.on('socket', watch);
        return closed(request);
      });
      await free;
    }
    return seen;
  });
  assert.deepStrictEqual(seen, [
    ['connect', 'one'],
    ['data', 'one'],
    ['data', 'two'],
  ]);
});

test(
  'handlers of two requests on one connection have different async ids',
  { timeout: 20_000 },
  async (t) => {
    const server = await echoServer(t);
    const [zero, same] = await asNode(t, async (make) => {
      const agent = make();
      const ids = [];
      for (let n = 0; n < 2; n++) {
        const free = once(agent, 'free');
        http.get({ ...server.at, agent }, (response) => {
          ids.push(executionAsyncId());
          response.resume();
        });
        await free;
      }
      return [ids.includes(0), ids[0] === ids[1]];
    });
    assert.deepStrictEqual([zero, same], [false, false]);
  },
);

test('async hooks hear of the end of each request', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, {
    listener: (request, response) => {
      if (request.url === '/reset') request.socket.destroy();
      else if (request.url !== '/silent') response.end();
    },
  });
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  // What a test runner reports as open, and what others keep a context for until then.
  const open = new Set();
  let count = 0;
  const init = (id, type) => type === 'OFFLOOP' && open.add(id) && count++;
  const hook = createHook({ init, destroy: (id) => open.delete(id) }).enable();
  t.after(() => hook.disable());

  // One after another on a connection that stays idle at last.
  for (let n = 0; n < 3; n++) await exchangeAndIdle({ ...server.at, agent });
  await assert.rejects(exchange({ ...server.at, agent, path: '/reset', method: 'POST' }), {
    code: 'ECONNRESET',
  });
  const silent = http.get({ ...server.at, agent, path: '/silent' }).on('error', () => {});
  await once(silent, 'finish');
  silent.destroy();
  await closed(silent);
  await exchangeAndIdle({ ...server.at, agent });
  assert.ok(count >= 6);
  while (open.size > 0) await nextTurn();
});

/** The package once more, as a test runner loads it for each of its files. */
function loadAnew() {
  const own = Object.keys(require.cache).filter((file) => file.startsWith(OURS));
  const before = own.map((file) => [file, require.cache[file]]);
  for (const file of own) delete require.cache[file];
  try {
    return require('../lib/agent/agent');
  } finally {
    for (const [file, module] of before) require.cache[file] = module;
  }
}

test('to async hooks the link to Rust is open while a request is', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: () => {} });
  const links = [];
  const hook = createHook({ init: (id, type, trigger, link) => type === 'offloop' && links.push(link) });
  t.after(() => hook.disable());
  hook.enable();
  const agent = new (loadAnew().HttpAgent)();
  t.after(() => agent.destroy());
  const request = http.get({ ...server.at, agent }).on('error', () => {});
  await once(request, 'finish');
  assert.strictEqual(links.length, 1);
  const [link] = links;
  assert.strictEqual(link.hasRef(), true);
  request.destroy();
  await closed(request);
  while (link.hasRef()) await nextTurn();
});
