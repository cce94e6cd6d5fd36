'use strict';

// What programs ask of the socket and set on it, as with net.Socket.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const stream = require('node:stream');
const { test } = require('node:test');
const { types } = require('node:util');
const { HttpAgent } = require('..');
const { keepAliveTimer } = require('./helpers/keep-alive-timer');
const {
  atEnd,
  closedPort,
  describeError,
  get,
  httpServer,
  rawServer,
  replying,
  sameAsNode,
  seeingAgent,
  socketPath,
  until,
} = require('./helpers/lane-server');

const options = { timeout: 60_000 };

function members(socket) {
  const { connecting, _connecting, pending, readyState, destroyed, readable, writable, timeout } = socket;
  const { remoteAddress, remotePort, remoteFamily, localAddress, localFamily, bufferSize } = socket;
  const { bytesRead, bytesWritten, allowHalfOpen, server, writableLength, readableLength } = socket;
  const { port, ...address } = socket.address();
  return {
    ...{ connecting, _connecting, pending, readyState, destroyed, readable, writable, timeout },
    ...{ remoteAddress, remotePort, remoteFamily, localAddress, localFamily, bufferSize },
    ...{ bytesRead, bytesWritten, allowHalfOpen, server, writableLength, readableLength },
    address,
    localPortIsPort: port === socket.localPort && typeof port,
  };
}

test('the members of a socket on its way from connecting to closed', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.on('end', () => socket.end('world')).resume(), {
    allowHalfOpen: true,
  });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const socket = agent.createConnection({ host: '127.0.0.1', port: server.port, allowHalfOpen: true });
    // Node has bound the socket by the time that it connects; nobody has a use for that.
    const { localPortIsPort, ...opening } = members(socket);
    assert.ok(localPortIsPort !== undefined);
    const log = [opening];
    socket.write('hello ');
    socket.write('wörld', 'latin1');
    socket.write('€');
    log.push(socket.bytesWritten);
    await once(socket, 'connect');
    log.push(members(socket));
    socket.end();
    socket.resume();
    await once(socket, 'end');
    await new Promise(setImmediate);
    log.push([socket.bytesRead, socket.bytesWritten]);
    if (!socket.closed) await once(socket, 'close');
    const { readyState, pending, connecting, destroyed, bytesRead, bytesWritten, bufferSize } = socket;
    log.push({ readyState, pending, connecting, destroyed, bytesRead, bytesWritten, bufferSize });
    return log;
  });
});

test('the local port is the one that the server sees', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end(String(req.socket.remotePort)));
  const agent = seeingAgent(t, HttpAgent);
  const response = await get({ port: server.port, agent });
  assert.strictEqual(response.body, String(response.usedSocket.localPort));
  assert.strictEqual(response.usedSocket.address().port, response.usedSocket.localPort);
});

test('_host is the name that is looked up', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.resume());
  const [path, other] = [socketPath(t), await closedPort()];
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const names = [];
    for (const to of [
      { host: 'localhost' },
      {},
      { host: '127.0.0.1' },
      { host: '::1', port: other },
      { path },
    ]) {
      const socket = agent.createConnection({ port: server.port, family: 4, ...to });
      names.push(socket._host);
      socket.on('error', () => {}).destroy();
      await once(socket, 'close');
    }
    return names;
  });
});

test('over IPv6', options, async (t) => {
  const where = { host: '::1', port: 0 };
  const server = await httpServer(t, (req, res) => res.end('six'), where).catch((error) => error);
  if (server instanceof Error) return t.skip(`no IPv6 here: ${server.code}`);
  return sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const { body, usedSocket } = await get({ host: '::1', port: server.port, agent });
    return [body, members(usedSocket)];
  });
});

test('it is a Duplex, no Proxy, no promise, and not encrypted', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end());
  const agent = seeingAgent(t, HttpAgent);
  const { usedSocket: socket } = await get({ port: server.port, agent });
  assert.ok(socket instanceof stream.Duplex);
  assert.strictEqual(types.isProxy(socket), false);
  assert.strictEqual(socket.then, undefined);
  assert.strictEqual('encrypted' in socket, false);
  assert.strictEqual(await Promise.resolve(socket), socket);
  assert.strictEqual(socket._handle, null);
});

test('properties that a program puts on the socket are there with the next request', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end());
  const agent = seeingAgent(t, HttpAgent);
  const mark = Symbol('mark');
  const first = await get({ port: server.port, agent });
  first.usedSocket[mark] = 1;
  first.usedSocket._PROGRAM_COUNT = 2;
  await until(() => Object.keys(agent.freeSockets).length > 0);
  const second = await get({ port: server.port, agent });
  assert.strictEqual(second.usedSocket, first.usedSocket);
  assert.strictEqual(second.usedSocket[mark], 1);
  assert.strictEqual(second.usedSocket._PROGRAM_COUNT, 2);
});

test('resetAndDestroy sends RST', options, async (t) => {
  const server = await rawServer(t);
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const log = [];
    for (const when of ['connecting', 'connected']) {
      const accepted = once(server, 'connection');
      const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
      if (when === 'connected') await once(socket, 'connect');
      const closed = once(socket, 'close');
      assert.strictEqual(socket.resetAndDestroy(), socket);
      const [peer] = await accepted;
      const [error] = await once(peer.resume(), 'error');
      log.push(error.code, await closed);
    }
    return log;
  });
});

test('resetAndDestroy of a socket that is gone, or has no RST', options, async (t) => {
  const server = await rawServer(t);
  const unix =
    process.platform === 'win32' ? null : await rawServer(t, () => {}, {}, { path: socketPath(t) });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
    socket.destroy();
    await once(socket, 'close');
    const log = [describeErrorOf(() => socket.resetAndDestroy())];
    if (unix) {
      const other = agent.createConnection({ path: unix.address() });
      await once(other, 'connect');
      log.push(describeErrorOf(() => other.resetAndDestroy()));
      other.destroy();
    }
    return log;
  });
});

function describeErrorOf(call) {
  try {
    return call() && 'nothing thrown';
  } catch (error) {
    return describeError(error);
  }
}

test('destroySoon writes what is queued, then closes', options, async (t) => {
  const received = [];
  const server = await rawServer(t, (socket) => {
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => received.push(Buffer.concat(chunks)));
  });
  const bytes = Buffer.alloc(3 * 1024 * 1024, 'soon');
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
    socket.write(bytes);
    socket.destroySoon();
    const before = [socket.destroyed, socket.writableEnded];
    const closed = await once(socket, 'close');
    await until(() => received.length > 0);
    return [before, closed, received.pop().equals(bytes)];
  });
});

test('setTimeout: validation, callback, turning off, and what raises it', options, async (t) => {
  const server = await rawServer(t, replying('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
    const log = [];
    for (const wrong of [-1, -5_000_000_000, NaN, Infinity, '5', null, 1n]) {
      log.push(describeErrorOf(() => socket.setTimeout(wrong)));
    }
    log.push(describeErrorOf(() => socket.setTimeout(10, 'no function')));
    socket.setTimeout(0);
    const unused = () => log.push('unused');
    socket.setTimeout(60_000, unused);
    log.push(socket.timeout, socket.listenerCount('timeout'));
    socket.setTimeout(0, unused);
    log.push(socket.timeout, socket.listenerCount('timeout'));
    await once(socket, 'connect');
    log.push(socket.setTimeout(20) === socket);
    await once(socket, 'timeout');
    log.push(socket.timeout, socket.destroyed, socket.readyState);
    // It comes again: nothing but a byte, or the timer's end, stops it.
    socket.setTimeout(20, () => log.push('once'));
    await once(socket, 'timeout');
    socket.destroy();
    await once(socket, 'close');
    log.push(socket.setTimeout(5) === socket);
    return log;
  });
});

test('bytes in either direction put the timeout off', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.pipe(socket));
  const agent = seeingAgent(t, HttpAgent);
  const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
  await once(socket, 'connect');
  const timeout = 500;
  let start, last, longest;
  socket.on('data', () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  });
  // Where the machine has stood still, so that no byte came for as long, it is right to raise it.
  do {
    start = last = performance.now();
    longest = 0;
    socket.setTimeout(timeout);
    const ticking = setInterval(() => socket.write('x'), timeout / 10);
    const silence = setTimeout(() => clearInterval(ticking), timeout * 1.6);
    await once(socket, 'timeout');
    clearInterval(ticking);
    clearTimeout(silence);
    if (last - start <= timeout) longest = Math.max(longest, performance.now() - last);
  } while (longest > timeout * 0.9);
  // Behind the last byte, though the traffic before it took longer than the timeout.
  assert.ok(last - start > timeout, `no byte came after ${last - start} ms`);
  assert.ok(
    performance.now() - last >= timeout * 0.9,
    `raised ${performance.now() - last} ms after the last byte`,
  );
});

test('setKeepAlive and setNoDelay', options, async (t) => {
  const server = await rawServer(t);
  const agent = seeingAgent(t, HttpAgent, { keepAlive: false, deadPeerTimeout: 0 });
  const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
  for (const arg of [undefined, true, false, 1, null]) assert.strictEqual(socket.setNoDelay(arg), socket);
  for (const args of [[], [true], [true, 5000], [false]]) {
    assert.strictEqual(socket.setKeepAlive(...args), socket);
  }
  await once(socket, 'connect');
  if (process.platform !== 'linux') return t.skip('the keep-alive timer is read from /proc');
  // Each of those calls is carried out, the last of them too.
  await until(() => keepAliveTimer(socket.localPort) === 0);
  socket.setKeepAlive(true, 40_000);
  await until(() => keepAliveTimer(socket.localPort) > 0);
  assert.ok(keepAliveTimer(socket.localPort) <= 40);
  socket.setKeepAlive(true, 90_000);
  await until(() => keepAliveTimer(socket.localPort) > 40);
  socket.setKeepAlive(false);
  await until(() => keepAliveTimer(socket.localPort) === 0);

  // By option, and before the connection is there.
  const early = agent.createConnection({
    host: '127.0.0.1',
    port: server.port,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  });
  await once(early, 'connect');
  const timer = keepAliveTimer(early.localPort);
  assert.ok(timer > 25 && timer <= 30, `${timer} s`);
  const later = agent.createConnection({ host: '127.0.0.1', port: server.port }).setKeepAlive(true, 50_000);
  await once(later, 'connect');
  await until(() => keepAliveTimer(later.localPort) > 45);

  // Where the kernel has a limit for dead peers, a probe leaves time for its answer.
  const bounded = seeingAgent(t, HttpAgent, { keepAlive: false, deadPeerTimeout: 20_000 }).createConnection({
    host: '127.0.0.1',
    port: server.port,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  });
  await once(bounded, 'connect');
  assert.ok(keepAliveTimer(bounded.localPort) <= 10);
  bounded.setKeepAlive(true, 5000);
  await until(() => keepAliveTimer(bounded.localPort) <= 5);
  bounded.setKeepAlive(true, 90_000);
  await until(() => keepAliveTimer(bounded.localPort) > 5);
  assert.ok(keepAliveTimer(bounded.localPort) <= 10);
  return undefined;
});

test(
  'setKeepAlive with all arguments, and the type of service, as this Node has them',
  options,
  async (t) => {
    const server = await rawServer(t);
    const takesObject = net.Socket.prototype.setKeepAlive.length > 2;
    await sameAsNode(async (Agent) => {
      const agent = seeingAgent(t, Agent, { keepAlive: false, deadPeerTimeout: 0 });
      const socket = agent.createConnection({ host: '127.0.0.1', port: server.port });
      await once(socket, 'connect');
      const log = [typeof socket.setTypeOfService, typeof socket.getTypeOfService];
      for (const tos of [16, 255, 0, 256, -1, 1.5, NaN, '16', undefined]) {
        log.push(
          describeErrorOf(() => socket.setTypeOfService?.(tos) === socket),
          socket.getTypeOfService?.(),
        );
      }
      if (process.platform === 'linux') {
        const probes = { enable: true, initialDelay: 40_000, interval: 3000, count: 4 };
        log.push(socket.setKeepAlive(probes) === socket);
        await until(() => keepAliveTimer(socket.localPort) > 0);
        log.push(keepAliveTimer(socket.localPort) <= 40);
        socket.setKeepAlive(true, 90_000, 2000, 3);
        await until(() => keepAliveTimer(socket.localPort) > 40);
        socket.setKeepAlive(true, -50_000);
        socket.setKeepAlive({});
        if (takesObject) await until(() => keepAliveTimer(socket.localPort) === 0);
        else await until(() => keepAliveTimer(socket.localPort) > 0);
      }
      socket.destroy();
      socket.setTypeOfService?.(3);
      log.push(socket.getTypeOfService?.());
      return log;
    });
  },
);

/** Runs a script in a process of its own; whether it ended by itself, and what it printed. */
function runScript(script, port) {
  const text = `const { HttpAgent } = require(${JSON.stringify(path.join(__dirname, '..'))});
    const http = require('http'); const port = ${port}; ${script}`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', text], {
    encoding: 'utf8',
    timeout: 50_000,
  });
  assert.deepStrictEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
  return stdout.trim();
}

test('ref and unref decide whether the process waits', options, async (t) => {
  const { Worker } = require('node:worker_threads');
  // In a thread of its own, since this one waits for the script.
  const worker = new Worker(
    `const http = require('http');
     const server = http.createServer((req, res) => { if (req.url === '/slow') setTimeout(() => res.end('late'), 300); else if (req.url !== '/never') res.end('x'); });
     server.listen(0, '127.0.0.1', () => require('worker_threads').parentPort.postMessage(server.address().port));`,
    { eval: true },
  );
  atEnd(t, () => worker.terminate());
  const [port] = await once(worker, 'message');

  // A request that is under way holds the process.
  const slow = `http.get({ port, path: '/slow', agent: new HttpAgent() }, (res) => res.on('data', (d) => console.log(String(d))));`;
  assert.strictEqual(runScript(slow, port), 'late');
  // One whose socket is unref'ed does not, and neither does an idle connection.
  const never = `http.get({ port, path: '/never', agent: new HttpAgent() }).on('socket', (socket) => socket.unref());`;
  assert.strictEqual(runScript(never, port), '');
  const idle = `http.get({ port, agent: new HttpAgent({ freeSocketTimeout: 60000 }) }, (res) => res.on('data', (d) => console.log(String(d))));`;
  assert.strictEqual(runScript(idle, port), 'x');
  // ref() takes unref() back.
  const again = `http.get({ port, path: '/slow', agent: new HttpAgent() }, (res) => res.on('data', (d) => console.log(String(d))))
    .on('socket', (socket) => socket.unref().unref().ref());`;
  assert.strictEqual(runScript(again, port), 'late');
});

test('a write after the end, and one after the close', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.resume());
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const log = [];
    const ended = agent.createConnection({ host: '127.0.0.1', port: server.port });
    await once(ended, 'connect');
    ended.end();
    ended.write('x', (error) => log.push(describeError(error)));
    log.push(describeError((await once(ended, 'error'))[0]));
    const closed = agent.createConnection({ host: '127.0.0.1', port: server.port });
    await once(closed, 'connect');
    closed.destroy();
    await new Promise((resolve) => closed.write('x', (error) => resolve(log.push(describeError(error)))));
    const early = agent.createConnection({ host: '127.0.0.1', port: server.port });
    const written = new Promise((resolve) =>
      early.write('x', (error) => resolve(log.push(describeError(error)))),
    );
    early.destroy();
    await written;
    return log;
  });
});

test('a write to a socket that failed to connect', options, async (t) => {
  const port = await closedPort();
  await sameAsNode(async (Agent) => {
    const socket = seeingAgent(t, Agent).createConnection({ host: '127.0.0.1', port });
    const log = [];
    socket.write('x', (error) => log.push(['write', describeError(error)]));
    socket.on('error', (error) => log.push(['error', describeError(error)]));
    socket.on('close', () => log.push(['close']));
    await new Promise((resolve) => socket.on('close', resolve));
    return log;
  });
});

test('signal destroys it', options, async (t) => {
  const server = await rawServer(t);
  await sameAsNode(async (Agent) => {
    const log = [];
    for (const when of ['before', 'connecting', 'connected']) {
      const controller = new AbortController();
      if (when === 'before') controller.abort();
      const agent = seeingAgent(t, Agent);
      const { signal } = controller;
      const socket = agent.createConnection({ host: '127.0.0.1', port: server.port, signal });
      if (when === 'connected') await once(socket, 'connect');
      const failed = new Promise((resolve) => socket.on('error', resolve));
      controller.abort();
      const { name, code } = await failed;
      log.push([name, code]);
    }
    return log;
  });
});

test('http.get with the method names of old', options, async (t) => {
  // request.setTimeout, setNoDelay and setSocketKeepAlive reach the socket.
  const server = await httpServer(t, () => {});
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const request = http.get({ host: '127.0.0.1', port: server.port, agent });
    request.setNoDelay(false);
    request.setSocketKeepAlive(true, 1000);
    request.setTimeout(40);
    request.on('error', () => {});
    await once(request, 'timeout');
    const { timeout } = request.socket;
    request.destroy();
    return timeout;
  });
});
