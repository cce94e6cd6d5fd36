'use strict';

// A test runner loads the package once for each file of tests, in a context of its own, and lets go of it with the
// file. What nobody has any more, and has nothing under way, is garbage: JavaScript's half and Rust's.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const certificate = require('./helpers/certificate');
const { collect, leftAfterCollection } = require('./helpers/collection');
const { echo, echoServer, holding } = require('./helpers/echo-server');
const { loadInto } = require('./helpers/own-context');
const { exchange, exchangeAndIdle, nextTurn } = require('./helpers/request');

const options = { timeout: 60_000 };

/** A copy of the package, and by what is seen that it, and all of its context, is garbage. */
function copy() {
  const { HttpAgent, HttpsAgent } = loadInto({ process, setTimeout, clearTimeout });
  return { HttpAgent, HttpsAgent, context: new WeakRef(HttpAgent.prototype.addRequest.constructor) };
}

/** How many handles of the kind by which Rust wakes JavaScript the event loop has. */
function wakers() {
  const { report } = process;
  report.excludeNetwork = true;
  return report.getReport().libuv.filter(({ type }) => type === 'async').length;
}

async function isGarbage(contexts) {
  assert.deepStrictEqual(await leftAfterCollection({ ...contexts }), []);
}

/** What is left of a copy when `use` is over, which is given its two classes. */
async function used(use) {
  const { HttpAgent, HttpsAgent, context } = copy();
  await use({ HttpAgent, HttpsAgent });
  return context;
}

test(
  'copies that were used and let go of are garbage, and so is what Rust had for them',
  options,
  async (t) => {
    const server = await echoServer(t);
    const before = wakers();
    const contexts = [];
    for (let i = 0; i < 5; i++) {
      const context = await used(async ({ HttpAgent }) => {
        const agent = new HttpAgent({ maxSockets: 2 });
        const body = Buffer.alloc(1_000_000, 'x').toString();
        const sent = [undefined, 'small', undefined, body].map((body) =>
          exchange({ ...server.at, method: 'POST', agent }, body),
        );
        await Promise.all(sent);
        agent.destroy();
      });
      contexts.push(context);
    }
    await isGarbage(contexts);
    while (wakers() > before) await nextTurn();
  },
);

test(
  'a copy whose agent was forgotten is garbage when its idle connections have ended',
  options,
  async (t) => {
    const server = await echoServer(t);
    const context = await used(async ({ HttpAgent }) => {
      await exchangeAndIdle({ ...server.at, agent: new HttpAgent({ freeSocketTimeout: 100 }) });
    });
    if (server.open.size > 0) await once(server, 'gone');
    await isGarbage([context]);
  },
);

test('a copy that spoke TLS is garbage', options, async (t) => {
  const server = await echoServer(t, { ...certificate });
  const context = await used(async ({ HttpsAgent }) => {
    const agent = new HttpsAgent({ ca: certificate.cert });
    const at = { ...server.at, servername: 'localhost', checkServerIdentity: () => undefined };
    for (let i = 0; i < 2; i++) await exchange({ ...at, agent }, undefined, https.request);
    agent.destroy();
  });
  await isGarbage([context]);
});

test('a copy with a request under way is kept until that is over', options, async (t) => {
  const { listener, waiting, release } = holding();
  const server = await echoServer(t, {
    listener: (request, response) => (request.url === '/held' ? listener : echo)(request, response),
  });
  let answered;
  const answer = new Promise((resolve) => (answered = resolve));
  const context = await used(async ({ HttpAgent }) => {
    const at = { ...server.at, agent: new HttpAgent({ freeSocketTimeout: 100 }) };
    // A parser of Node's would keep it, and a socket that is used again has none.
    for (let i = 0; i < 2; i++) await exchangeAndIdle(at);
    const request = http.get({ ...at, path: '/held' }, (response) => {
      response.resume().on('end', () => answered(response.statusCode));
    });
    await waiting(1);
    assert.strictEqual(request.parser, null);
  });
  for (let i = 0; i < 3; i++) {
    await nextTurn();
    collect();
  }
  assert.notStrictEqual(context.deref(), undefined);
  release();
  assert.strictEqual(await answer, 200);
  if (server.open.size > 0) await once(server, 'gone');
  await isGarbage([context]);
});

test(
  'an agent that is kept goes on after each time in which it had nothing under way',
  options,
  async (t) => {
    const server = await echoServer(t);
    const { HttpAgent } = copy();
    const agent = new HttpAgent({ keepAlive: false });
    for (let i = 0; i < 3; i++) {
      const { response } = await exchange({ ...server.at, agent });
      assert.strictEqual(response.statusCode, 200);
      if (server.open.size > 0) await once(server, 'gone');
      collect();
      await nextTurn();
    }
  },
);

test('a worker thread ends while copies of it are being collected', options, async (t) => {
  const server = await echoServer(t);
  for (let i = 0; i < 6; i++) {
    const worker = new Worker(path.join(__dirname, 'helpers', 'copying-worker.js'), {
      workerData: { at: server.at, turns: i },
    });
    const [code] = await once(worker, 'exit');
    assert.strictEqual(code, 0);
  }
  while (server.open.size > 0) await once(server, 'gone');
});
