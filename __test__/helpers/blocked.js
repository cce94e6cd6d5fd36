'use strict';

// The client's side of helpers/raw-server.js: starts it, sends requests to it, blocks the event loop
// and looks, while it is blocked, at what the server and the kernel have seen. Over TCP, or over TLS for a
// test file that is loaded by overTls().

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { createServer: createTlsServer } = require('node:tls');
const { HttpAgent, HttpsAgent } = require('../..');
const { authority } = require('./x509');

/** Longer than anything here takes on a busy machine. */
const PATIENCE = 15_000;
/** How much of the servers' logs stands in an error. */
const TOLD = 30;

/** The servers that run. */
const servers = new Set();

class RawServer {
  #child;
  #folder;
  #file;
  #commands = 0;
  #seen = [];
  #offset = 0;

  /**
   * `tls`: the options of helpers/secure-end.js, for a server that speaks TLS; `prefix`: the command that
   * runs it elsewhere; `host`: the address that it listens on, or several, separated by commas.
   */
  static async start(tls, { prefix = [], host = '127.0.0.1' } = {}) {
    const server = new RawServer();
    server.isSecure = tls !== undefined;
    server.#folder = fs.mkdtempSync(path.join(os.tmpdir(), 'raw-server-'));
    server.#file = path.join(server.#folder, 'log');
    fs.writeFileSync(server.#file, '');
    const env = { ...process.env };
    delete env.NODE_TEST_CONTEXT;
    const [command, ...args] = [...prefix, process.execPath, path.join(__dirname, 'raw-server.js')];
    args.push(server.#file, host, ...(tls ? [JSON.stringify(tls)] : []));
    server.#child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const [{ port }] = await once(server.#child, 'message');
    server.port = port;
    servers.add(server);
    // The channel must not keep a test alive that forgot nothing else.
    server.#child.unref();
    server.#child.channel.unref();
    return server;
  }

  /** All that has happened so far, read without the event loop. */
  events(type, id) {
    const chunk = Buffer.alloc(1 << 16);
    const fd = fs.openSync(this.#file, 'r');
    for (;;) {
      const count = fs.readSync(fd, chunk, 0, chunk.length, this.#offset);
      const end = chunk.subarray(0, count).lastIndexOf('\n') + 1;
      if (end === 0) break;
      this.#offset += end;
      const lines = chunk.toString('utf8', 0, end - 1).split('\n');
      for (const line of lines) this.#seen.push(JSON.parse(line));
    }
    fs.closeSync(fd);
    return this.#seen.filter((event) => (!type || event.type === type) && (!id || event.id === id));
  }

  /** How often a request came. */
  arrivals(id) {
    return this.events('request', id).length;
  }

  /**
   * Sends a command: `{ end, connections }`, `{ cue }`, `{ greeting }`, `{ limits }`, `{ deaf }`
   * or `{ refuse: { host, ms } }`; resolves when it is carried out.
   */
  async command(message) {
    const number = ++this.#commands;
    this.#child.channel.ref();
    // One listener all the time: two messages may come in one turn.
    await new Promise((resolve) => {
      const onMessage = ({ done }) => {
        if (done !== number) return;
        this.#child.off('message', onMessage);
        resolve();
      };
      this.#child.on('message', onMessage);
      this.#child.send({ ...message, number });
    });
    this.#child.channel.unref();
  }

  /** Without waiting for it: the client is about to block. */
  post(message) {
    this.#child.send({ ...message, number: ++this.#commands });
  }

  async stop() {
    servers.delete(this);
    const exited = once(this.#child, 'exit');
    this.#child.ref();
    this.#child.disconnect();
    await exited;
    const stray = this.events('stray');
    fs.rmSync(this.#folder, { recursive: true });
    if (stray.length > 0) throw new Error(`the server got what is no request: ${JSON.stringify(stray)}`);
  }
}

/** Starts a server for the length of a test. */
async function startServer(t, tls) {
  const server = await RawServer.start(tls);
  t.after(() => server.stop());
  return server;
}

/** What a test file runs on: our agent, with what it needs to know, and a server for it. */
const TCP = {
  Agent: HttpAgent,
  NodeAgent: http.Agent,
  request: http.request,
  /** A server in this process that speaks no HTTP. */
  listen: (onSocket) => net.createServer({ noDelay: true }, onSocket),
  /** One that speaks it. */
  serve: http.createServer,
  startServer,
  start: (where) => RawServer.start(undefined, where),
};
let current = TCP;

/** TLS of one version, with certificates that are right for these names; TCP if no version is named. */
function transportOf(version, names = ['ip:127.0.0.1']) {
  if (version === undefined) return TCP;
  const root = authority('Root');
  const { key, cert } = root.server(names);
  const tls = { identities: { right: { key, cert } }, maxVersion: version };
  const end = { key, cert, maxVersion: version };
  const trusting = (Base) =>
    class Agent extends Base {
      constructor(options) {
        super({ ca: root.cert, ...options });
      }
    };
  return {
    Agent: trusting(HttpsAgent),
    NodeAgent: trusting(https.Agent),
    request: https.request,
    listen: (onSocket) => createTlsServer({ ...end, noDelay: true }, onSocket),
    serve: (onRequest) => https.createServer(end, onRequest),
    startServer: (t) => startServer(t, tls),
    start: (where) => RawServer.start(tls, where),
  };
}

/** What the test file that is being loaded runs on. */
function transport() {
  return current;
}

/** Loads a test file once more, on TLS of this version; `helpers`: what it needs that runs on it too. */
function overTls(version, file, ...helpers) {
  current = transportOf(version);
  try {
    for (const one of [file, ...helpers]) delete require.cache[one];
    require(file);
  } finally {
    current = TCP;
  }
}

/**
 * Sends a request; resolves, never rejects: `{ status, id, body, error, request }`. `options.body` may
 * be a function that is given the request and has to end it.
 */
function send(agent, server, options = {}) {
  const { id, act, then, body, headers, ...rest } = options;
  const own = { 'x-id': id };
  if (act) own['x-do'] = act;
  if (then) own['x-then'] = then;
  const all = Array.isArray(headers)
    ? [...Object.entries(own).flat(), ...headers]
    : { ...own, ...(body && typeof body !== 'function' && { 'content-length': body.length }), ...headers };
  const { request: make } = server.isSecure ? https : http;
  const request = make({ host: '127.0.0.1', port: server.port, agent, headers: all, ...rest });
  const result = new Promise((resolve) => {
    request.on('error', (error) => resolve({ error, request }));
    request.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', (error) => resolve({ error, request, status: response.statusCode }));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode, id: response.headers['x-id'], body: text, request, response });
      });
    });
  });
  if (typeof body === 'function') body(request);
  else request.end(body);
  result.request = request;
  return result;
}

/** Opens idle connections: as many requests at once. */
async function warm(agent, server, count = 1, options = {}) {
  const done = [];
  for (let i = 0; i < count; i++) {
    done.push(
      send(agent, server, { id: `warm-${i}-${Math.random()}`, act: count > 1 ? 'ok/30' : 'ok', ...options }),
    );
  }
  for (const { error } of await Promise.all(done)) if (error) throw error;
  // A socket goes back into the pool a tick after its response has ended.
  await new Promise((resolve) => setImmediate(resolve));
}

/** Computes for so many ms. */
function block(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Computes until something has happened elsewhere, or throws. With a `patience` of its own: whether it has, by then. */
function blockUntil(happened, patience) {
  const end = performance.now() + (patience ?? PATIENCE);
  do if (happened()) return true;
  while (performance.now() < end);
  if (patience === undefined) throw new Error(missed(happened));
  return false;
}

/** The same without blocking. */
async function until(happened, patience = PATIENCE) {
  const end = performance.now() + patience;
  while (!happened()) {
    if (performance.now() > end) throw new Error(missed(happened));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What did not happen, and what the servers have seen instead. */
function missed(happened) {
  const lines = [`it did not happen: ${happened}`];
  for (const server of servers) {
    const events = server.events();
    lines.push(
      `the last of ${events.length} events of port ${server.port}, the time is ${now().toFixed(1)}:`,
    );
    for (const { at, ...event } of events.slice(-TOLD))
      lines.push(`${at.toFixed(1)} ${JSON.stringify(event)}`);
  }
  return lines.join('\n');
}

/** The time in ms on the clock of the server's log. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6;
}

const STATES = {
  '01': 'ESTABLISHED',
  '02': 'SYN_SENT',
  '04': 'FIN_WAIT1',
  '05': 'FIN_WAIT2',
  '06': 'TIME_WAIT',
  '08': 'CLOSE_WAIT',
};

/** The rows of the kernel's table for the client's sockets that lead to a port (Linux). */
function socketRows(port) {
  const remote = port.toString(16).toUpperCase().padStart(4, '0');
  return fs
    .readFileSync(`/proc/${process.pid}/net/tcp`, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , address]) => address?.endsWith(`:${remote}`));
}

/** The states of the client's sockets that lead to a port (Linux). */
function socketStates(port) {
  return socketRows(port).map(([, , , state]) => STATES[state] ?? state);
}

/** Sockets that this process has open (Linux). */
function openSockets() {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // The descriptor of the folder itself.
    }
  }).length;
}

module.exports = {
  RawServer,
  block,
  blockUntil,
  now,
  openSockets,
  overTls,
  send,
  socketRows,
  socketStates,
  startServer,
  transport,
  transportOf,
  until,
  warm,
};
