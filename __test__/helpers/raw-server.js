'use strict';

// An HTTP/1.1 server on raw sockets, in a process of its own, so that a client that blocks does not
// block it, and so that every byte, FIN and RST is decided here. Started by helpers/blocked.js.
//
// What it does is asked for by headers of the request:
//   x-id    names the request.
//   x-do    what to do with it: `<action>[@<body bytes>][/<argument>]`, one per arrival, separated by
//           commas; the last one also stands for all later arrivals. Without `@` the whole request is
//           read first. The argument is a delay in ms, or `cue`: it is done when the client says so.
//   x-answer  what the action `answer` is made of, as JSON (helpers/composed-answer.js).
//   x-then  what to do with the idle connection after the answer: `<action>/<delay in ms>`.
//   x-stall for so many ms nothing that comes behind the head is read.
// Behind `switch` a connection is an echo, until the client ends it.
// All that happens is appended to a file, one JSON object a line: a blocked process can read it.
// With TLS (helpers/secure-end.js) connections can end, and be spoken on, in a few more ways.

const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { compose, sendInPieces } = require('./composed-answer');
const { reset } = require('./reset');
const { secureEnds } = require('./secure-end');

/** Bytes of a large body. */
const LARGE = 100_000;
/** ms until a port that was given away is tried again. */
const AGAIN = 5;

/** ESTABLISHED, CLOSE_WAIT. */
const HELD = ['01', '08'];

const log = fs.openSync(process.argv[2], 'a');
const arrivals = new Map();
const connections = new Set();
/** By id: what waits for its cue, or undefined if the cue came first. */
const cues = new Map();
let lastNumber = 0;
let greeting = '';
/** How many connections there may be at once to an address of this server. */
let limits = {};
const secure = process.argv[4] && secureEnds(JSON.parse(process.argv[4]), note);

function note(type, details) {
  // Monotonic, and the same clock in all processes.
  const at = Number(process.hrtime.bigint()) / 1e6;
  fs.writeSync(log, `${JSON.stringify({ type, at, ...details })}\n`);
}

/** By the address that each listens on, all at one port. */
const servers = new Map();
let port = 0;

async function listen(host) {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, accept);
  server.listen(port, host);
  await once(server, 'listening');
  servers.set(host, server);
  ({ port } = server.address());
}

function deafen(host) {
  servers.get(host)?.close();
  servers.delete(host);
}

/** Refuses connections to an address for a while. */
function refuse({ host, ms }) {
  if (!servers.has(host)) return;
  note('refusing', { host });
  deafen(host);
  const again = () => {
    // Somebody may have been given the port meanwhile.
    const isListening = () => note('listening', { host });
    listen(host).then(isListening, () => setTimeout(again, AGAIN));
  };
  setTimeout(again, ms);
}

function accept(raw) {
  const connection = { number: ++lastNumber, socket: raw, nth: 0, read: Buffer.alloc(0), request: null };
  connection.port = raw.remotePort;
  connection.host = raw.localAddress;
  // An end that the kernel had before this connection is read in the next turn at the latest. TLS tells of it later.
  setImmediate(() => setImmediate(noteAccept, connection));
  for (const end of ['end', 'error']) raw.on(end, () => (connection.isOver = true));
  if (greeting !== '' && secure) {
    secure.refuse(raw, greeting, () => leave(connection, 'gone'));
    return;
  }
  if (secure) Object.assign(connection, secure.accept(raw, connection.number));
  const { socket } = connection;
  connections.add(connection);
  socket.on('error', () => {});
  socket.on('end', () => {
    leave(connection, 'client-fin');
    socket.end();
  });
  socket.on('close', () => leave(connection, 'gone'));
  if (greeting === 'reset') socket.resetAndDestroy();
  else socket.on('data', (bytes) => onData(connection, bytes));
}

function noteAccept(connection) {
  const { number, host, port: client } = connection;
  // What has switched to another protocol is its caller's, and in no limit.
  const counts = (other) => other.number < number && !other.isOver && !other.isSwitched;
  const older = [...connections].filter(counts);
  note('accept', {
    connection: number,
    host,
    port: client,
    open: older.length + 1,
    beyond: beyondLimit(host, older),
  });
}

/** The older connections beside which a new one to this address is one too many; undefined if it is not. */
function beyondLimit(host, older) {
  const most = limits[host] ?? Infinity;
  let beside = older.filter((other) => other.host === host);
  // On a busy machine an end may be on its way when a later connection has come.
  if (beside.length >= most) beside = beside.filter(isHeldByClient);
  return beside.length >= most ? beside.map((other) => other.number) : undefined;
}

/** Whether the client, on this machine, has not closed its end (Linux). */
function isHeldByClient({ host, port: client }) {
  const own = portInHex(client);
  const remote = `${addressInHex(host)}:${portInHex(port)}`;
  const rows = fs.readFileSync('/proc/self/net/tcp', 'utf8').split('\n');
  return rows.some((row) => {
    const [, from, to, state] = row.trim().split(/\s+/);
    return from?.endsWith(`:${own}`) && to === remote && HELD.includes(state);
  });
}

/** As the kernel writes an IPv4 address: the bytes backwards. */
function addressInHex(host) {
  return Buffer.from(host.split('.').reverse().map(Number)).toString('hex').toUpperCase();
}

function portInHex(number) {
  return number.toString(16).toUpperCase().padStart(4, '0');
}

function leave(connection, type) {
  connections.delete(connection);
  const { request } = connection;
  if (request?.whole === false) noteBody('part', request);
  note(type, { connection: connection.number });
}

function onData(connection, bytes) {
  if (connection.isSwitched) {
    connection.socket.write(bytes);
    return;
  }
  connection.read = Buffer.concat([connection.read, bytes]);
  // The end of a request that was answered early may come together with the next one.
  while (connection.request !== null || readHead(connection)) {
    const { request } = connection;
    const wasWhole = request.whole;
    readBody(connection, request);
    if (request.whole && !wasWhole) noteBody('whole', request);
    if (!request.acted && (request.whole || request.length >= request.actAt)) act(connection, request);
    else finishExchange(connection);
    if (connection.request === request) return;
  }
}

/** What has come of the body so far. */
function noteBody(type, { id, length, hash, trailers }) {
  note(type, { id, length, hash: hash.copy().digest('hex'), trailers });
}

function parseFields(lines) {
  const fields = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    fields[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return fields;
}

function readHead(connection) {
  const end = connection.read.indexOf('\r\n\r\n');
  if (end < 0 || connection.isStray) return false;
  const [line, ...fields] = connection.read.toString('latin1', 0, end).split('\r\n');
  connection.read = connection.read.subarray(end + 4);
  const headers = parseFields(fields);
  if (!/^[A-Z]+ \S+ HTTP\/1\.1$/.test(line)) {
    // A part of a body that nobody has announced, for one. The end of the server tells of it.
    note('stray', { connection: connection.number, text: line.slice(0, 200) });
    connection.isStray = true;
    connection.socket.destroy();
    return false;
  }
  const id = headers['x-id'];
  const arrival = (arrivals.get(id) ?? 0) + 1;
  arrivals.set(id, arrival);
  const plan = (headers['x-do'] ?? 'ok').split(',');
  const step = plan[Math.min(arrival, plan.length) - 1];
  const [, action, at, argument] = /^([\w-]+)(?:@(\d+))?(?:\/(\d+|cue))?$/.exec(step);
  connection.nth++;
  connection.request = {
    id,
    action,
    actAt: at === undefined ? Infinity : Number(at),
    delay: argument === 'cue' ? argument : Number(argument ?? 0),
    answer: headers['x-answer'],
    then: headers['x-then'],
    method: line.split(' ')[0],
    hash: crypto.createHash('sha256'),
    length: 0,
    left: headers['transfer-encoding'] ? null : Number(headers['content-length'] ?? 0),
    whole: false,
    acted: false,
    answered: false,
  };
  const { method } = connection.request;
  note('request', { id, method, action, connection: connection.number, nth: connection.nth, line });
  if (headers.expect && headers['x-answer']) connection.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  if (headers['x-stall']) stall(connection, Number(headers['x-stall']));
  return true;
}

/** The client meets full buffers. */
function stall({ socket }, ms) {
  socket.pause();
  setTimeout(() => socket.resume(), ms);
}

/** `left`: bytes of the body, or of the present chunk, still to come; null before a chunk's size, and before the trailers. */
function readBody(connection, request) {
  const chunked = request.left === null || request.chunked;
  request.chunked = chunked;
  while (!request.whole) {
    if (chunked && request.left === null) {
      const end = connection.read.indexOf('\r\n');
      if (end < 0) return;
      const line = connection.read.toString('latin1', 0, end);
      connection.read = connection.read.subarray(end + 2);
      if (request.trailers) {
        request.whole = line === '';
        if (!request.whole) Object.assign(request.trailers, parseFields([line]));
        continue;
      }
      const size = parseInt(line, 16);
      if (size === 0) {
        request.trailers = {};
        continue;
      }
      // The line break after each chunk is read with it.
      request.left = size + 2;
    }
    const piece = connection.read.subarray(0, request.left);
    connection.read = connection.read.subarray(piece.length);
    request.left -= piece.length;
    const body = chunked
      ? piece.subarray(0, Math.max(0, piece.length - Math.max(0, 2 - request.left)))
      : piece;
    request.hash.update(body);
    request.length += body.length;
    if (request.left > 0) return;
    if (chunked) request.left = null;
    else request.whole = true;
  }
}

function act(connection, request) {
  request.acted = true;
  const { id, delay } = request;
  const now = () => perform(connection, request);
  if (delay === 'cue' && !cues.delete(id)) cues.set(id, now);
  else if (delay > 0) setTimeout(now, delay);
  else now();
}

function cue(id) {
  const waiting = cues.get(id);
  if (waiting === undefined) cues.set(id);
  else {
    cues.delete(id);
    waiting();
  }
}

function perform(connection, request) {
  const { socket } = connection;
  if (socket.destroyed) return;
  const body = `ok:${request.id}`;
  const headers = `X-Id: ${request.id}\r\n`;
  const length = `Content-Length: ${body.length}\r\n\r\n`;
  const payload = request.method === 'HEAD' ? '' : body;
  switch (request.action) {
    case 'ok':
      note('answered', { id: request.id });
      answered(connection, `HTTP/1.1 200 OK\r\n${headers}${length}${payload}`);
      break;
    case 'answer':
      answer(connection, request);
      break;
    case 'hint':
      note('answered', { id: request.id });
      answered(connection, `HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\n${headers}${length}${payload}`);
      break;
    case 'hint-max':
      note('answered', { id: request.id });
      answered(connection, `HTTP/1.1 200 OK\r\nKeep-Alive: max=1\r\n${headers}${length}${payload}`);
      break;
    case 'chunked':
      note('answered', { id: request.id });
      answered(
        connection,
        `HTTP/1.1 200 OK\r\n${headers}Transfer-Encoding: chunked\r\n\r\n` +
          (payload && `3\r\nok:\r\n${request.id.length.toString(16)}\r\n${request.id}\r\n0\r\n\r\n`),
      );
      break;
    case 'slow-body':
      note('answered', { id: request.id });
      if (payload === '') {
        answered(connection, `HTTP/1.1 200 OK\r\n${headers}${length}`);
      } else {
        socket.write(`HTTP/1.1 200 OK\r\n${headers}${length}`);
        setTimeout(() => answered(connection, payload), 5);
      }
      break;
    case 'large': {
      note('answered', { id: request.id });
      const large = `${body}:`.padEnd(LARGE, '.');
      const text = request.method === 'HEAD' ? '' : large;
      answered(connection, `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${LARGE}\r\n\r\n${text}`);
      break;
    }
    case 'last':
      note('answered', { id: request.id });
      socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n${headers}${length}${payload}`);
      break;
    // Two answers at once.
    case 'double':
      note('answered', { id: request.id });
      answered(connection, `HTTP/1.1 200 OK\r\n${headers}${length}${payload}${forged()}`);
      break;
    case 'part-head':
      socket.end('HTTP/1.1 200 OK\r\nContent-Le', () => closed(connection));
      break;
    case 'part-body':
      socket.end(`HTTP/1.1 200 OK\r\n${headers}Content-Length: 100\r\n\r\npart`, () => closed(connection));
      break;
    case 'part-hang':
      note('answered', { id: request.id });
      socket.write(`HTTP/1.1 200 OK\r\n${headers}Content-Length: 100\r\n\r\npart`);
      break;
    case 'part-chunk':
      socket.end(`HTTP/1.1 200 OK\r\n${headers}Transfer-Encoding: chunked\r\n\r\n9\r\npart`, () =>
        closed(connection),
      );
      break;
    case 'part-body-reset':
      socket.write(`HTTP/1.1 200 OK\r\n${headers}Content-Length: 100\r\n\r\npart`, () => {
        setTimeout(() => end(connection, 'reset'), 5);
      });
      break;
    case 'processing-close':
      socket.end('HTTP/1.1 102 Processing\r\n\r\n', () => closed(connection));
      break;
    case 'processing-reset':
      socket.write('HTTP/1.1 102 Processing\r\n\r\n', () => {
        setTimeout(() => end(connection, 'reset'), 5);
      });
      break;
    case 'switch':
      note('answered', { id: request.id });
      connection.isSwitched = true;
      socket.write(switching(request, headers));
      if (connection.read.length > 0) socket.write(connection.read);
      break;
    case 'hang':
      break;
    case 'gone-close':
    case 'gone-reset':
      // Nobody listens any more when the connection goes.
      for (const host of [...servers.keys()]) deafen(host);
      end(connection, request.action.slice(5));
      break;
    default: {
      const [, moment, action] = /^(?:(cut|until)-)?(.+)$/.exec(request.action);
      if (moment)
        respondAndEnd(connection, headers + (moment === 'cut' ? 'Content-Length: 100\r\n' : ''), action);
      else end(connection, action);
    }
  }
}

function switching({ method }, headers) {
  return method === 'CONNECT'
    ? `HTTP/1.1 200 Connected\r\n${headers}\r\n`
    : `HTTP/1.1 101 Switching Protocols\r\n${headers}Connection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
}

/** A body whose length is not given, or not reached, and then an end of this kind. */
function respondAndEnd(connection, headers, action) {
  connection.socket.write(`HTTP/1.1 200 OK\r\n${headers}\r\nsome`, () => {
    // What is reset too soon may never be read.
    setTimeout(() => end(connection, action), action === 'reset' ? 20 : 0);
  });
}

/** What the request asks for, as far as it is to go. */
function answer(connection, request) {
  const { socket } = connection;
  const plan = JSON.parse(request.answer);
  const bytes = compose(request, plan);
  if (!request.whole) noteBody('part', request);
  const length = plan.stop === undefined ? bytes.length : Math.ceil(plan.stop * (bytes.length - 1));
  sendInPieces(socket, bytes.subarray(0, length), plan.pieces, () => {
    note('answered', { id: request.id });
    if (plan.end) end(connection, plan.end);
    else answered(connection, '');
  });
}

function answered(connection, bytes) {
  const { socket, request } = connection;
  request.answered = true;
  // Over TLS nothing is a record, too.
  if (bytes.length > 0) socket.write(bytes);
  finishExchange(connection);
}

/** The connection is idle when the request is whole and its answer is out. */
function finishExchange(connection) {
  const { socket, request } = connection;
  if (!request?.answered || !request.whole) return;
  connection.request = null;
  if (!request.then) return;
  const [action, delay] = request.then.split('/');
  const endIdle = () => {
    // Only an idle connection: a request may be there by now.
    if (connection.request !== null || socket.destroyed) return;
    // TLS may still hold the end of the answer, and would not send it any more.
    if (socket.writableLength > 0) setImmediate(endIdle);
    else end(connection, action);
  };
  setTimeout(endIdle, Number(delay));
}

function forged() {
  return 'HTTP/1.1 200 OK\r\nX-Id: forged\r\nContent-Length: 6\r\n\r\nforged';
}

/** Ways in which a connection without an answer ends, or is spoken on. */
function end(connection, action) {
  const { number, socket, wire } = connection;
  note('ending', { connection: number, action });
  switch (action) {
    case 'close':
      connections.delete(connection);
      (wire ?? socket).destroy();
      closed(connection);
      break;
    case 'reset':
      connections.delete(connection);
      if (wire) wire.resetAndDestroy();
      else reset(socket);
      socket.once('close', () => closed(connection));
      break;
    case 'half':
      // FIN, but what still comes is read.
      socket.end(() => closed(connection));
      break;
    case 'half-reset':
      // As 'half', and what was read meanwhile is not answered.
      socket.end();
      setTimeout(() => end(connection, 'reset'), 5);
      break;
    case 'timeout':
      socket.end('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', () =>
        closed(connection),
      );
      break;
    case 'forge':
      socket.write(forged(), () => closed(connection));
      break;
    default:
      if (!wire) throw new Error(`no such action: ${action}`);
      wire.send(action, () => closed(connection, action));
  }
}

/** What was asked for is in the kernel's hands; `record`: which of TLS that was, some of which end nothing. */
function closed(connection, record) {
  note('closed', { connection: connection.number, record });
}

process.on('message', (message) => {
  if (message.greeting !== undefined) greeting = message.greeting;
  if (message.limits !== undefined) limits = message.limits;
  if (message.identity !== undefined) secure.identity = message.identity;
  if (message.cue !== undefined) cue(message.cue);
  if (message.deaf) for (const host of [...servers.keys()]) deafen(host);
  if (message.refuse !== undefined) refuse(message.refuse);
  // All connections, or those that are named.
  if (message.end !== undefined) {
    for (const connection of [...connections]) {
      if (!message.connections || message.connections.includes(connection.number))
        end(connection, message.end);
    }
  }
  process.send({ done: message.number });
});
process.on('disconnect', () => process.exit());
(async () => {
  for (const host of process.argv[3].split(',')) await listen(host);
  // Who has started it may be gone: the end of the channel is the end.
  process.send({ port }, () => {});
})();
