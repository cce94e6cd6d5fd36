'use strict';

// Test runners stop the clock: they put timers of their own into the place of the global ones, and load programs into
// contexts with a copy of `process`. Node's own sockets go on, since Node's code sees neither, and so must these.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const path = require('node:path');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const certificate = require('./helpers/certificate');
const { httpServer, rawServer } = require('./helpers/lane-server');
const { loadInto } = require('./helpers/own-context');

const options = { timeout: 60_000 };
const local = { host: '127.0.0.1' };
const never = () => {};

/** A copy of `process`, as far as it has no say in the process itself. */
function copyOfProcess(own) {
  return Object.assign(Object.create(process), own);
}

const stopped = {
  setTimeout: never,
  clearTimeout: never,
  setImmediate: never,
  clearImmediate: never,
  queueMicrotask: never,
};

function answer(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve(text);
    });
  });
}

test('a program whose process never ticks gets its answers', options, async (t) => {
  const stoppedProcess = copyOfProcess({ nextTick: never });
  const stoppedClock = loadInto({ ...stopped, process: stoppedProcess });
  const agent = new stoppedClock.HttpAgent({ maxSockets: 2, queueTimeout: 10_000 });
  t.after(() => agent.destroy());
  const { port } = await httpServer(t, (request, response) => {
    request.resume().on('end', () => response.end(request.url));
  });
  const send = (url, more, body) =>
    answer(http.request({ ...local, port, path: url, agent, ...more }).end(body));

  assert.equal(await send('/new'), '/new');
  assert.equal(await send('/reused'), '/reused');
  assert.equal(await send('/large', { method: 'POST' }, Buffer.alloc(2_000_000)), '/large');
  const urls = ['/1', '/2', '/3', '/4', '/5'];
  assert.deepEqual(await Promise.all(urls.map((url) => send(url))), urls);
  const lookup = (host, query, callback) =>
    query.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4);
  assert.equal(await send('/found', { host: 'localhost', lookup }), '/found');
});

test('what its copy of the environment says of certificates is not what Node reads', options, async (t) => {
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' };
  const { HttpsAgent } = loadInto({ setTimeout, clearTimeout, process: copyOfProcess({ env }) });
  const agent = new HttpsAgent();
  t.after(() => agent.destroy());
  const server = https.createServer(certificate, (request, response) => response.end('trusted'));
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const request = https.get({ ...local, port: server.address().port, agent });
  await assert.rejects(answer(request), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
});

test('the timeout of a socket is not for a stopped clock to tell', options, async (t) => {
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const { port } = await httpServer(t, (request, response) => {
    if (request.url === '/answered') response.end('ok');
  });
  const timers = [];
  t.mock.method(globalThis, 'setTimeout', (callback, ms) => {
    timers.push(ms);
    const timer = { unref: () => timer, refresh: () => timer };
    return timer;
  });
  await answer(http.get({ ...local, port, path: '/answered', agent, timeout: 10_000 }));
  const request = http.get({ ...local, port, path: '/silent', agent, timeout: 50 });
  await once(request, 'socket');
  assert.deepEqual(timers, []);
  await once(request, 'timeout');
  request.destroy();
  await once(request, 'error');
});

test('nor is the end of the wait for a socket', options, async (t) => {
  const agent = new HttpAgent({ maxSockets: 1, queueTimeout: 50 });
  t.after(() => agent.destroy());
  const { port } = await httpServer(t, never);
  t.mock.method(globalThis, 'setTimeout', never);
  const first = http.get({ ...local, port, agent }).on('error', never);
  const second = http.get({ ...local, port, agent });
  const [error] = await once(second, 'error');
  assert.equal(error.code, 'ERR_QUEUE_TIMEOUT');
  first.destroy();
});

test('how long it waited is told in the time of Node', options, async (t) => {
  const { HttpAgent } = loadInto({ process, performance: { now: () => 0 } });
  const agent = new HttpAgent({ maxSockets: 1, queueTimeout: 50 });
  t.after(() => agent.destroy());
  const { port } = await httpServer(t, never);
  const first = http.get({ ...local, port, agent }).on('error', never);
  const [error] = await once(http.get({ ...local, port, agent }), 'error');
  assert.ok(error.connection.waited > 0, `${error.connection.waited} ms`);
  first.destroy();
});

/**
 * What a program prints that loads the package while a clock stands still in the place of Node's. Nothing else than its
 * requests holds its process.
 */
async function loadedUnderClock(t, port, script) {
  const program = `
    const http = require('http');
    const timers = require('timers');
    const places = [
      ...['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'].map((name) => [timers, name]),
      [process, 'nextTick'],
    ];
    /** Stops the clock until what is returned is called. */
    function stop(isStopped = () => true) {
      const stopped = places.filter(([, name]) => isStopped(name)).map(([at, name]) => [at, name, at[name]]);
      for (const [at, name] of stopped) {
        at[name] = Object.assign(() => ({ unref: () => ({ refresh() {} }) }), { clock: {} });
      }
      return () => stopped.forEach(([at, name, own]) => (at[name] = own));
    }
    const load = () => require(${JSON.stringify(path.join(__dirname, '..'))}).HttpAgent;
    const send = (agent, options, body) => new Promise((resolve) => {
      const request = http.request({ host: '127.0.0.1', port: ${port}, agent, ...options }, (response) => {
        response.setEncoding('utf8').once('data', (text) => response.on('end', () => resolve(text)));
      });
      request.on('timeout', () => request.destroy(new Error('late')));
      request.on('error', (error) => request.on('close', () => resolve(error.code ?? error.message)));
      request.end(body);
    });
    (async () => { ${script} })();`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (out += data));
  await once(child, 'close');
  return out.trim();
}

const sends = `
  console.log(await send(agent, { path: '/new' }));
  console.log(await send(agent, { path: '/reused', method: 'POST' }, Buffer.alloc(1000000)));
  console.log(await send(agent, { port: 1 }));`;

test(
  'first loaded under a clock that stands still, it goes on when Node has its own again',
  options,
  async (t) => {
    const { port } = await httpServer(t, (request, response) => {
      request.resume().on('end', () => request.url !== '/silent' && response.end(request.url));
    });
    const script = `
    const restore = stop();
    const HttpAgent = load();
    restore();
    const agent = new HttpAgent();
    ${sends}
    console.log(await send(agent, { path: '/silent', timeout: 50 }));`;
    assert.equal(await loadedUnderClock(t, port, script), '/new\n/reused\nECONNREFUSED\nlate');
  },
);

test('first loaded under stopped timers, it goes on', options, async (t) => {
  const { port } = await httpServer(t, (request, response) => {
    request.resume().on('end', () => response.end(request.url));
  });
  const script = `
    stop((name) => name !== 'nextTick');
    const HttpAgent = load();
    const agent = new HttpAgent();
    ${sends}`;
  assert.equal(await loadedUnderClock(t, port, script), '/new\n/reused\nECONNREFUSED');
});

test('where a tracer has wrapped nextTick(), the end of a tick is where it was', options, async (t) => {
  const { port } = await httpServer(t, (request, response) => {
    request.resume().on('end', () => response.end(request.url));
  });
  const script = `
    const { nextTick } = process;
    process.nextTick = (...args) => nextTick.apply(process, args);
    const HttpAgent = load();
    const agent = new HttpAgent();
    let unsent = 0;
    for (let n = 0; n < 20; n++) {
      await send(agent, { path: '/warm' });
      await new Promise(setImmediate);
      const request = http.get({ host: '127.0.0.1', port: ${port}, agent });
      const error = await new Promise((resolve) => request.on('error', resolve).destroy());
      if (error.connection.bytesWritten === 0) unsent++;
    }
    console.log(unsent);`;
  // A request that is destroyed in its own tick is not sent; but a pause of JavaScript's looks like work.
  const unsent = Number(await loadedUnderClock(t, port, script));
  assert.ok(unsent >= 10, `${unsent} were not sent`);
});

test('what a clock has dropped does not hold up the requests after it', options, async (t) => {
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  const { port } = await httpServer(t, (request, response) => {
    if (request.url === '/answered') response.end('ok');
  });
  const silent = http.get({ ...local, port, path: '/silent', agent }).on('error', never);
  await once(silent, 'finish');
  const nextTick = t.mock.method(process, 'nextTick', never);
  silent.destroy();
  nextTick.mock.restore();
  // On a new connection, and on that one: there nothing comes that would take along what waits to be sent.
  for (let n = 0; n < 2; n++) {
    const free = once(agent, 'free');
    const request = http.request({ ...local, port, path: '/answered', method: 'POST', agent });
    assert.equal(await answer(request.end('body')), 'ok');
    await free;
  }
});

test("what Node's parser has to read is read while a clock comes late to the ticks", options, async (t) => {
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  let server;
  const { port } = await rawServer(t, (socket) => {
    server = socket.on('data', (data) => {
      if (data.includes('/plain')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  const get = (url) => http.get({ ...local, port, path: url, agent });
  // The first exchanges are those from which the short ways are learned.
  for (let n = 0; n < 3; n++) {
    const free = once(agent, 'free');
    assert.equal(await answer(get('/plain')), 'ok');
    await free;
  }
  const request = get('/odd');
  const answered = answer(request);
  await Promise.all([once(request, 'finish'), once(server, 'data')]);
  assert.ok(request.reusedSocket);

  t.mock.method(process, 'nextTick', (...tick) => setImmediate(...tick));
  server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;of=odd\r\nodd\r\n0\r\n\r\n');
  assert.equal(await answered, 'odd');
});
