'use strict';

// An RPC server over HTTP/1.1, in a process of its own, that writes down what reaches it and when.
//
// It is made of node:net, not node:http, to know the moment of each close to the fraction of a millisecond:
// net.Socket#destroy closes the descriptor before it returns. It sends no Keep-Alive header.

const net = require('node:net');
const { now } = require('./clock');
const { RequestReader } = require('./request-reader');
const { serverIdleLimit, serverLifetime, unansweredDelay } = require('./settings');

const methods = { sum: (a, b) => a + b };

let log = { connections: [], arrivals: [] };
const attempts = new Map();

class Connection {
  #socket;
  #reader = new RequestReader();
  #timer;
  #answering = false;
  #entry;

  constructor(socket) {
    this.#socket = socket;
    this.#entry = { port: socket.remotePort, openedAt: now(), lastAnswerAt: null, served: 0 };
    log.connections.push(this.#entry);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('end', () => this.#closedByClient());
    socket.on('error', () => this.#closedByClient());
    this.#waitForRequest();
  }

  #waitForRequest() {
    this.#timer = setTimeout(() => this.#close(), serverIdleLimit);
  }

  #onData(chunk) {
    if (this.#entry.closedBy) return;
    this.#reader.push(chunk);
    if (!this.#answering) this.#next();
  }

  #next() {
    let request;
    try {
      request = this.#reader.read();
    } catch {
      this.#close();
      return;
    }
    if (!request) return;
    clearTimeout(this.#timer);
    this.#answering = true;

    const id = request.headers['x-request-id'];
    const attempt = (attempts.get(id) ?? 0) + 1;
    attempts.set(id, attempt);
    const arrival = { id, method: request.method, at: now(), port: this.#entry.port, unanswered: false };
    log.arrivals.push(arrival);

    // A worker that dies over a request, or a restart: the request was read, and nothing comes back. Only the
    // first attempt, and only on a connection that was in use before, which is where a client may retry.
    const unanswered = request.headers['x-demo-unanswered'];
    if (unanswered && attempt === 1 && this.#entry.served > 0) {
      arrival.unanswered = true;
      this.#timer = setTimeout(() => this.#close(unanswered === 'reset'), unansweredDelay);
      return;
    }
    this.#answer(id, request);
  }

  #answer(id, request) {
    const call = parseCall(request);
    const handler = call && Object.hasOwn(methods, call.method) ? methods[call.method] : undefined;
    const body = JSON.stringify(
      handler ? { id, result: handler(...call.params) } : { id, error: 'bad call' },
    );
    this.#socket.write(
      `HTTP/1.1 ${handler ? '200 OK' : '400 Bad Request'}\r\n` +
        'Content-Type: application/json\r\n' +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    this.#entry.served += 1;
    this.#entry.lastAnswerAt = now();
    this.#answering = false;
    this.#waitForRequest();
    this.#next();
  }

  #close(reset = false) {
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    this.#closed('server');
  }

  #closedByClient() {
    if (this.#entry.closedBy) return;
    this.#closed('client');
    this.#socket.destroy();
  }

  #closed(by) {
    clearTimeout(this.#timer);
    this.#entry.closedBy = by;
    this.#entry.closedAt = now();
  }
}

/** GET /rpc/sum?a=1&b=2, or POST /rpc with { method, params }. */
function parseCall({ method, target, body }) {
  const url = new URL(target, 'http://localhost');
  if (method === 'GET') {
    const params = [Number(url.searchParams.get('a')), Number(url.searchParams.get('b'))];
    return { method: url.pathname.replace('/rpc/', ''), params };
  }
  try {
    const call = JSON.parse(body);
    return Array.isArray(call?.params) ? call : null;
  } catch {
    return null;
  }
}

// allowHalfOpen: the client's FIN is an event to be timed, not something that Node answers by itself.
const server = net.createServer({ allowHalfOpen: true, backlog: 512 }, (socket) => new Connection(socket));

process.on('message', (message) => {
  if (message.type !== 'take-log') return;
  process.send({ type: 'log', log });
  log = { connections: [], arrivals: [] };
  attempts.clear();
});
process.on('disconnect', () => process.exit());
setTimeout(() => process.exit(1), serverLifetime).unref();

server.listen(0, '127.0.0.1', () => process.send({ type: 'listening', port: server.address().port }));
