'use strict';

// Servers and observers for the tests of the lane. Most of those run one script twice, with http.Agent
// and with HttpAgent, and hold what came of it against each other: Node is the specification.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { HttpAgent } = require('../..');

/** What net.Socket tells its users. */
const SOCKET_EVENTS = new Set([
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
  'connect',
  'ready',
  'timeout',
  'end',
  'error',
  'close',
]);

const ends = new WeakMap();

/** Has `end` called after the test, what came last first: a server goes when its clients are gone. */
function atEnd(t, end) {
  if (!ends.has(t)) {
    ends.set(t, []);
    t.after(async () => {
      for (const one of ends.get(t).reverse()) await one();
    });
  }
  ends.get(t).push(end);
}

/** Starts a server that ends, with all its connections, when the test does. */
async function start(t, server, where) {
  const open = new Set();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
  });
  atEnd(t, () => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  server.listen(where);
  await once(server, 'listening');
  return typeof server.address() === 'string' ? server : Object.assign(server, server.address());
}

/** A server of bytes. `server.port` is its port. */
function rawServer(t, onConnection, options = {}, where = { host: '127.0.0.1', port: 0 }) {
  return start(t, net.createServer(options, onConnection), where);
}

/** A server of Node's own http. */
function httpServer(t, onRequest, where = { host: '127.0.0.1', port: 0 }) {
  return start(t, http.createServer(onRequest), where);
}

/** Answers with `reply` to each request head that comes, whatever its body. */
function replying(reply) {
  return (socket) => {
    let head = '';
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      head = '';
      socket.write(reply);
    });
  };
}

/** A port of 127.0.0.1 that nobody has. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A server for the sockets that hold the ports of closedPort(). */
let holder;

/** A port that refuses. It is held until the process ends, by a socket that does not listen: nobody else is given it. */
async function closedPort() {
  const host = '127.0.0.1';
  if (holder === undefined) {
    holder = net.createServer().listen(0, host).unref();
    holder.on('connection', (socket) => socket.on('error', () => {}).unref());
    await once(holder, 'listening');
  }
  for (;;) {
    const port = await freePort();
    const socket = net.connect({ host, port: holder.address().port, localAddress: host, localPort: port });
    const isHeld = await once(socket.unref(), 'connect').then(
      () => true,
      ({ code }) => assert.strictEqual(code, 'EADDRINUSE'),
    );
    if (isHeld) return port;
  }
}

/**
 * Makes `host` and `port` (by default one that nobody has) a black hole: SYNs are dropped there, as by a firewall. It is
 * a listener in a process that accepts nothing, with its queue full; `port` is its port, `open()` lets it accept and
 * answer with "hole". Returns undefined where the system does not work so.
 */
async function blackHole(t, host, wanted = 0) {
  if (process.platform !== 'linux') return undefined;
  const script = `
    const answer = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 4\\r\\n\\r\\nhole';
    const server = require('net').createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(answer));
    });
    server.listen({ host: '${host}', port: ${wanted}, backlog: 1 }, () => {
      const { readSync, writeSync } = require('fs');
      try {
        writeSync(1, String(server.address().port));
      } catch {
        process.exit(); // Whoever wanted it is gone.
      }
      // Nothing comes if the test's process is gone.
      if (readSync(0, Buffer.alloc(1)) === 0) process.exit();
    });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  atEnd(t, () => child.kill('SIGKILL'));
  const port = Number((await once(child.stdout, 'data'))[0]);
  // The queue takes one more than its length; what comes after that is dropped.
  for (let count = 0; count < 2; count++) {
    const socket = net.connect(port, host);
    socket.on('error', () => {});
    atEnd(t, () => socket.destroy());
    await once(socket, 'connect');
  }
  return { port, open: () => child.stdin.write('.') };
}

/** A path for a Unix socket that is gone with the test. */
function socketPath(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-'));
  atEnd(t, () => fs.rmSync(folder, { recursive: true, force: true }));
  return path.join(folder, 's');
}

/** An agent of `Base` that ends with the test and shows each socket to `see` before anything happens on it. */
function seeingAgent(t, Base, options, see) {
  class Seeing extends Base {
    createConnection(connectOptions) {
      const socket = super.createConnection(connectOptions);
      sockets.push(socket);
      see?.(socket);
      return socket;
    }
  }
  const sockets = [];
  const agent = new Seeing({ keepAlive: true, ...options });
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    agent.destroy();
  });
  return agent;
}

/** Runs `script(Agent)` with Node's agent, then with ours; both must come to the same. Returns that. */
async function sameAsNode(script) {
  const expected = await script(http.Agent);
  const actual = await script(HttpAgent);
  assert.deepStrictEqual(actual, expected);
  return actual;
}

/** What a program can tell errors apart by, but for what only ours have (docs/errors.md). */
function describeError(error) {
  if (!(error instanceof Error)) return error;
  const name = error.name === 'PeerClosedError' ? 'Error' : error.name;
  const { message, code, errno, syscall, hostname, address, port, localAddress, localPort } = error;
  const all = { name, message, code, errno, syscall, hostname, address, port, localAddress, localPort };
  const described = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  described.prototype = Object.getPrototypeOf(error).constructor.name;
  if (error.errors) described.errors = error.errors.map(describeError);
  return described;
}

/** Writes down the events of a socket, in their order, with their arguments and what `also` returns then. */
function traceEvents(socket, log = [], also = () => []) {
  const { emit } = socket;
  socket.emit = function (name, ...args) {
    if (SOCKET_EVENTS.has(name)) log.push([name, ...args.map(describeError), ...also(socket, name)]);
    return emit.call(this, name, ...args);
  };
  return log;
}

/** The response to a request, with its whole body; rejects with the error of either. */
function respond(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      const { socket: usedSocket } = response; // Of a response that has ended Node forgets it.
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve(Object.assign(response, { body: Buffer.concat(chunks).toString(), usedSocket }));
      });
    });
  });
}

/** Makes a request and returns its response. */
function get(options) {
  const request = http.request({ host: '127.0.0.1', ...options });
  const response = respond(request);
  request.end(options.body);
  return response;
}

/** Resolves with the error of a request that has to fail. */
function failure(request) {
  return new Promise((resolve, reject) => {
    request.on('error', resolve);
    request.on('response', (response) => reject(new Error(`answered with ${response.statusCode}`)));
  });
}

/** Looks again and again until `condition` holds, for what comes without an event. */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

module.exports = {
  atEnd,
  blackHole,
  closedPort,
  describeError,
  failure,
  freePort,
  get,
  httpServer,
  rawServer,
  replying,
  respond,
  sameAsNode,
  seeingAgent,
  socketPath,
  traceEvents,
  until,
};
