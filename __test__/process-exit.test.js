'use strict';

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test } = require('node:test');
const { echoServer, holding } = require('./helpers/echo-server');
const { BODY, EMPTY, earlyServer } = require('./helpers/early-server');
const { rawServer, until } = require('./helpers/lane-server');

const ROOT = path.join(__dirname, '..');

/** Runs a script in a process of its own, with `HttpAgent`, `http` and `at` (host and port) in scope. */
function start(t, at, script, env) {
  const prelude = `
    const http = require('http');
    const { HttpAgent } = require(${JSON.stringify(ROOT)});
    const at = ${JSON.stringify(at)};
    process.on('exit', (code) => console.log('exit', code));`;
  const child = spawn(process.execPath, ['-e', prelude + script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (out += data));
  const done = once(child, 'close').then(([code, signal]) => ({ code, signal, out: out.trim() }));
  return { child, done };
}

test('a process with nothing but idle connections ends', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const { done } = start(
    t,
    server.at,
    `const agent = new HttpAgent({ freeSocketTimeout: 0 });
     agent.on('free', () => console.log('idle'));
     http.get({ ...at, agent }, (response) => response.resume());`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'idle\nexit 0' });
});

test('an agent that was never used does not hold the process', { timeout: 30_000 }, async (t) => {
  const { done } = start(t, {}, 'new HttpAgent();');
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'exit 0' });
});

test('a process waits for the response to a request', { timeout: 30_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const { child, done } = start(
    t,
    server.at,
    `const agent = new HttpAgent();
     http.get({ ...at, agent }, (response) => {
       response.resume();
       response.on('end', () => console.log('answered'));
     });`,
  );
  await hold.waiting(1);
  // If nothing held the process, it would be gone before it is asked again.
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.strictEqual(child.exitCode, null);
  hold.release();
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'answered\nexit 0' });
});

test('also on a reused connection', { timeout: 30_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const { child, done } = start(
    t,
    server.at,
    `const agent = new HttpAgent();
     const get = (then) => http.get({ ...at, agent }, (response) => response.resume().on('end', then));
     agent.once('free', () => {
       const request = get(() => console.log('answered', request.reusedSocket));
     });
     get(() => {});`,
  );
  await hold.waiting(1);
  hold.release();
  await hold.waiting(2);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.strictEqual(child.exitCode, null);
  hold.release();
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'answered true\nexit 0' });
});

test('a process does not wait for a response that it does not read', { timeout: 60_000 }, async (t) => {
  const body = Buffer.alloc(5_000_000);
  const server = await echoServer(t, { listener: (request, response) => response.end(body) });
  for (const path of ['plain', 'raw']) {
    for (const agent of ['new http.Agent({ keepAlive: true })', 'new HttpAgent()']) {
      const { done } = start(
        t,
        server.at,
        `http.get({ ...at, agent: ${agent} }, ({ statusCode }) => console.log(statusCode));`,
        { OFFLOOP_PATH: path },
      );
      assert.deepStrictEqual(await done, { code: 0, signal: null, out: '200\nexit 0' }, `${agent}, ${path}`);
    }
  }
});

const earlyOptions = { timeout: 60_000, skip: process.platform === 'win32' && 'no Unix sockets' };
const bothAgents = ['new http.Agent({ keepAlive: true })', 'new HttpAgent()'];

const LARGE = 'x'.repeat(1 << 20);
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
const upgrade = `const headers = { connection: 'upgrade', upgrade: 'x' };
  http.get({ ...options, headers }).on('upgrade', () => console.log('unread'));`;
for (const [name, answer, script] of [
  [
    'one to a request that goes on',
    `HTTP/1.1 200 OK\r\nContent-Length: ${LARGE.length}\r\n\r\n${LARGE}`,
    `http.request({ ...options, method: 'POST' }, () => console.log('unread')).write('a part');`,
  ],
  ['what comes on an upgraded socket', SWITCHED + LARGE, upgrade],
  [
    'what comes on a tunnel',
    `HTTP/1.1 200 OK\r\n\r\n${LARGE}`,
    `http.request({ ...options, method: 'CONNECT' }).on('connect', () => console.log('unread')).end();`,
  ],
]) {
  test(`nor for ${name}`, { timeout: 30_000 }, async (t) => {
    const { port } = await rawServer(t, (socket) => socket.once('data', () => socket.write(answer)));
    for (const plan of bothAgents) {
      const { done } = start(t, { port }, `const options = { ...at, agent: ${plan} }; ${script}`);
      assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'unread\nexit 0' }, plan);
    }
  });
}

for (const [name, answer, script] of [
  [
    'a response',
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
    `http.get(options, (response) => {
       response.socket.pause();
       console.log('unread');
     });`,
  ],
  ['an upgraded socket', SWITCHED, upgrade],
]) {
  test(
    `nor for the little that nobody reads of ${name} whose connection has ended`,
    earlyOptions,
    async (t) => {
      let connection;
      const { port } = await rawServer(t, (socket) => {
        connection = socket;
        socket.once('data', () => socket.write(answer));
      });
      for (const plan of bothAgents) {
        const { child, done } = start(t, { port }, `const options = { ...at, agent: ${plan} }; ${script}`);
        await once(child.stdout, 'data');
        connection.end('a part');
        assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'unread\nexit 0' }, plan);
      }
    },
  );
}

test('but for a request that waits for the end of such a connection', { timeout: 30_000 }, async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
  const { port } = await rawServer(t, (socket) => socket.once('data', () => socket.end(answer)));
  for (const plan of ['new http.Agent({ maxSockets: 1 })', 'new HttpAgent({ maxSockets: 1 })']) {
    const script = `
      const agent = ${plan};
      for (let count = 0; count < 20; count++) {
        http.get({ ...at, agent }, (response) => response.resume().on('end', () => process.stdout.write('.')));
      }`;
    const { done } = start(t, { port }, script);
    assert.deepStrictEqual(await done, { code: 0, signal: null, out: `${'.'.repeat(20)}exit 0` }, plan);
  }
});

test('but until the request to such a response has left', earlyOptions, async (t) => {
  for (const plan of bothAgents) {
    const { at, sockets } = await earlyServer(t);
    const { child, done } = start(
      t,
      at,
      `const request = http.request({ ...at, agent: ${plan}, method: 'POST' }, () => console.log('unread'));
       request.setHeader('Content-Length', 340_000);
       request.end(Buffer.alloc(340_000));`,
    );
    await once(child.stdout, 'data');
    // If nothing held the process, it would be gone before somebody reads.
    await new Promise((resolve) => setTimeout(resolve, 300));
    let text = '';
    for await (const chunk of sockets[0].iterator({ destroyOnReturn: false })) {
      text += chunk.toString('latin1');
      if (text.length >= text.indexOf('\r\n\r\n') + 4 + 340_000) break;
    }
    assert.strictEqual(text.length, text.indexOf('\r\n\r\n') + 4 + 340_000, plan);
    assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'unread\nexit 0' }, plan);
  }
});

test('nor for a server that does not take it and goes', earlyOptions, async (t) => {
  for (const plan of bothAgents) {
    const { at, sockets } = await earlyServer(t);
    const { child, done } = start(
      t,
      at,
      `const request = http.request({ ...at, agent: ${plan}, method: 'POST' }, () => console.log('unread'));
       request.on('error', () => {});
       request.end(Buffer.alloc(340_000));`,
    );
    await once(child.stdout, 'data');
    sockets[0].destroy();
    assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'unread\nexit 0' }, plan);
  }
});

test('nor when the request ends behind the response', earlyOptions, async (t) => {
  for (const plan of bothAgents) {
    const { at, sockets } = await earlyServer(t);
    const { done } = start(
      t,
      at,
      `const request = http.request({ ...at, agent: ${plan}, method: 'POST' }, () => {
         console.log('unread');
         setTimeout(() => request.write('more'), 50);
         setTimeout(() => request.end(), 100);
       });
       request.write('some');`,
    );
    const seen = await done;
    assert.deepStrictEqual(seen, { code: 0, signal: null, out: 'unread\nexit 0' }, plan);
    sockets[0].destroy();
  }
});

for (const [where, [first, then]] of Object.entries({
  'a connection that is idle': ['', ''],
  'one that its agent has destroyed': ['', 'agent.destroy()'],
  'one that is not kept': ['agent.keepSocketAlive = () => false;', ''],
})) {
  test(`nor before all of a request that is over has left, on ${where}`, earlyOptions, async (t) => {
    for (const plan of bothAgents) {
      const { at, sockets } = await earlyServer(t, EMPTY);
      const { child, done } = start(
        t,
        at,
        `const agent = ${plan};
         ${first}
         const request = http.request({ ...at, agent, method: 'POST' }, (response) => response.resume());
         request.setHeader('Content-Length', ${BODY.length});
         agent.on('free', () => {
           console.log(request._header.length);
           ${then}
         });
         request.end(Buffer.alloc(${BODY.length}));`,
      );
      // If nothing held the process, it would be gone before somebody reads.
      if (plan.startsWith('new HttpAgent')) await once(child.stdout, 'data');
      await until(() => sockets.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      let received = 0;
      for await (const chunk of sockets[0].iterator({ destroyOnReturn: false })) received += chunk.length;
      const { code, out } = await done;
      assert.deepStrictEqual([code, out], [0, `${received - BODY.length}\nexit 0`], plan);
    }
  });
}

test('nor for the rest of a request that is given up', { ...earlyOptions, timeout: 15_000 }, async (t) => {
  for (const plan of bothAgents) {
    const { at } = await earlyServer(t, EMPTY);
    const { done } = start(
      t,
      at,
      `const request = http.request({ ...at, agent: ${plan}, method: 'POST' }, (response) => {
         response.resume().on('end', () => request.destroy());
       });
       request.on('error', () => {});
       request.write(Buffer.alloc(${BODY.length}));`,
    );
    assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'exit 0' }, plan);
  }
});

test('but for one that is paused and read on', { timeout: 60_000 }, async (t) => {
  const body = Buffer.alloc(5_000_000);
  const server = await echoServer(t, { listener: (request, response) => response.end(body) });
  const { done } = start(
    t,
    server.at,
    `let count = 0;
     http.get({ ...at, agent: new HttpAgent() }, (response) => {
       response.on('data', (chunk) => {
         count += chunk.length;
         response.pause();
         setTimeout(() => response.resume(), 5);
       });
       response.on('end', () => console.log(count));
     });`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: `${body.length}\nexit 0` });
});

test('unref() of the socket lets the process end', { timeout: 30_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const { done } = start(
    t,
    server.at,
    `const agent = new HttpAgent();
     const request = http.get({ ...at, agent });
     request.on('socket', (socket) => socket.on('connect', () => socket.unref()));
     request.on('close', () => console.log('not reached'));`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'exit 0' });
});

test('but not before what was written on it has left', earlyOptions, async (t) => {
  for (const plan of bothAgents) {
    const { at, sockets } = await earlyServer(t, '');
    const { done } = start(
      t,
      at,
      `const request = http.request({ ...at, agent: ${plan}, method: 'POST' });
       request.setHeader('Content-Length', ${BODY.length});
       request.on('socket', (socket) => socket.unref());
       request.end(Buffer.alloc(${BODY.length}));`,
    );
    await until(() => sockets.length > 0);
    // If nothing held the process, it would be gone before somebody reads.
    await new Promise((resolve) => setTimeout(resolve, 300));
    let text = '';
    for await (const chunk of sockets[0].iterator({ destroyOnReturn: false }))
      text += chunk.toString('latin1');
    assert.strictEqual(text.length, text.indexOf('\r\n\r\n') + 4 + BODY.length, plan);
    assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'exit 0' }, plan);
  }
});

test('a failed connect does not hold the process', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  server.close();
  await once(server, 'close');
  const { done } = start(
    t,
    server.at,
    `http.get({ ...at, agent: new HttpAgent() }).on('error', ({ code }) => console.log(code));`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'ECONNREFUSED\nexit 0' });
});

test('process.exit() ends it at once, whatever is under way', { timeout: 30_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const { child, done } = start(
    t,
    server.at,
    `const agent = new HttpAgent();
     for (let n = 0; n < 20; n++) http.get({ ...at, agent });
     process.on('SIGTERM', () => process.exit(3));
     // Windows has no SIGTERM to catch.
     if (process.platform === 'win32') setTimeout(() => process.exit(3), 300);`,
  );
  await hold.waiting(20);
  if (process.platform !== 'win32') child.kill('SIGTERM');
  assert.deepStrictEqual(await done, { code: 3, signal: null, out: 'exit 3' });
  while (server.open.size > 0) await once(server, 'gone');
});

test('an exception that nobody catches ends it with its code', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const { done } = start(
    t,
    server.at,
    `const agent = new HttpAgent();
     http.get({ ...at, agent }, () => { throw new Error('out of a handler'); });`,
  );
  const { code, out } = await done;
  assert.strictEqual(code, 1);
  assert.match(out, /Error: out of a handler/);
  assert.match(out, /exit 1/);
});

test('a worker with connections ends, and the process after it', { timeout: 30_000 }, async (t) => {
  const server = await echoServer(t);
  const { done } = start(
    t,
    server.at,
    `const { Worker } = require('worker_threads');
     const script = \`
       const http = require('http');
       const { HttpAgent } = require(\${JSON.stringify(${JSON.stringify(ROOT)})});
       http.get({ ...\${JSON.stringify(at)}, agent: new HttpAgent({ freeSocketTimeout: 0 }) }, (response) => response.resume());\`;
     new Worker(script, { eval: true }).on('exit', (code) => console.log('worker', code));`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'worker 0\nexit 0' });
});

test('a worker can be terminated with a request under way', { timeout: 30_000 }, async (t) => {
  const hold = holding();
  const server = await echoServer(t, { listener: hold.listener });
  const { done } = start(
    t,
    server.at,
    `const { Worker } = require('worker_threads');
     const script = \`
       const http = require('http');
       const { parentPort } = require('worker_threads');
       const { HttpAgent } = require(\${JSON.stringify(${JSON.stringify(ROOT)})});
       const request = http.get({ ...\${JSON.stringify(at)}, agent: new HttpAgent() });
       request.on('socket', (socket) => socket.on('connect', () => parentPort.postMessage('connected')));\`;
     const worker = new Worker(script, { eval: true });
     worker.on('message', () => worker.terminate().then((code) => console.log('terminated', code)));`,
  );
  assert.deepStrictEqual(await done, { code: 0, signal: null, out: 'terminated 1\nexit 0' });
  while (server.open.size > 0) await once(server, 'gone');
});
