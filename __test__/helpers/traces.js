'use strict';

// The same exchange through Node's agent, through our agent with Node's parser, and without it: everything that
// a program sees of it, in order.

const assert = require('node:assert/strict');
const { once } = require('node:events');

const plainResponse = require('../../lib/response/plain-response');
const { transport } = require('./blocked');

const { Agent, NodeAgent, listen, request: send } = transport();

/** ms. Longer than an exchange takes on a busy machine, whatever its pieces. */
const PATIENCE = 15_000;

/** How often a response came without Node's parser. */
let taken = 0;
const { handOver } = plainResponse;
plainResponse.handOver = (...args) => {
  taken++;
  return handOver(...args);
};

/** The socket of the exchange that is traced, or served in pieces. */
let client;
/** Its response is paused: what the server has yet to write comes when it is read again. */
let isPaused = false;

/**
 * Answers `/name/cuts/end`: the response in one piece, or cut at these places, each piece written when the client has
 * read the one before. If there is an `end`, 'fin' or 'reset', the last piece is not written, and the connection ends.
 * The answer to a HEAD is the head. What follows a request on its connection is its end.
 */
async function startServer(t, responses) {
  const server = listen((socket) => {
    let read = '';
    socket.on('error', () => {});
    socket.on('data', async (bytes) => {
      read += bytes.toString('latin1');
      if (!read.endsWith('\r\n\r\n')) return;
      const [, method, name, cuts, end] = /^(\S+) \/([^/]*)\/([\d,]+)\/?(\w*)/.exec(read);
      read = '';
      const text = responses[decodeURIComponent(name)];
      const response = Buffer.from(
        method === 'HEAD' ? text.slice(0, text.indexOf('\r\n\r\n') + 4) : text,
        'latin1',
      );
      let written = 0;
      const before = client?.bytesRead;
      for (const cut of cuts.split(',').map(Number)) {
        if (cut === 0 || client.destroyed) continue;
        socket.write(response.subarray(written, cut));
        written = cut;
        while (!client.destroyed && (isPaused || client.bytesRead - before < cut)) {
          await new Promise(setImmediate);
        }
      }
      if (end === 'fin') socket.end();
      else if (end === 'reset') (socket._parent ?? socket).resetAndDestroy();
      else socket.write(response.subarray(written));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return server.address().port;
}

/** The agents that are compared. */
function agents(t, options) {
  const made = [
    ['http.Agent', () => new NodeAgent({ keepAlive: true, ...options })],
    ['raw', () => new Agent(options)],
    ['parsed', () => new Agent(options)],
  ].map(([name, make]) => [name, make()]);
  t.after(() => made.forEach(([, agent]) => agent.destroy()));
  return made;
}

/** Runs `use` as it is with one of the agents. */
async function using(name, use) {
  // The path is chosen when a lane is opened.
  process.env.OFFLOOP_PATH = name === 'raw' ? 'raw' : '';
  try {
    return await use();
  } finally {
    delete process.env.OFFLOOP_PATH;
  }
}

/** Ways of reading a response. */
const READERS = {
  flowing: (response, note) => response.on('data', (chunk) => note(['data', chunk.toString('latin1')])),
  text: (response, note) => response.setEncoding('utf8').on('data', (chunk) => note(['data', chunk])),
  readable: (response, note) =>
    response.on('readable', () => {
      for (let chunk; (chunk = response.read()) !== null;) note(['read', chunk.toString('latin1')]);
    }),
  later: (response, note) => {
    isPaused = true;
    response.pause();
    response.on('data', (chunk) => note(['data', chunk.toString('latin1')]));
    response.once('resume', () => (isPaused = false));
    setImmediate(() => response.resume());
  },
  iterator: async (response, note) => {
    try {
      for await (const chunk of response) note(['chunk', chunk.toString('latin1')]);
    } catch (error) {
      note(['iterator', error.code]);
    }
  },
  dumped: (response) => response.resume(),
};

const EVENTS = {
  request: [
    'socket',
    'finish',
    'response',
    'information',
    'continue',
    'upgrade',
    'abort',
    'timeout',
    'error',
    'close',
  ],
  response: ['resume', 'pause', 'end', 'aborted', 'error', 'close'],
};

/** Everything that a program sees of an exchange, in order. */
async function trace(agent, port, path, reader, requestOptions = {}, act = () => {}) {
  const seen = [];
  const note = (what) => seen.push(what);
  isPaused = false;
  const request = send({ host: '127.0.0.1', port, path, agent, ...requestOptions });
  const state = () => [
    request.destroyed,
    request.aborted,
    request.reusedSocket,
    request.finished,
    request.res !== null,
  ];
  for (const name of EVENTS.request) {
    request.on(name, (argument, socket) => {
      if (name === 'socket') watch(argument);
      note([name, state(), name === 'error' ? describeError(argument) : []]);
      if (name === 'upgrade') socket.destroy();
    });
  }
  request.on('response', (response) => {
    note(describe(response));
    for (const name of EVENTS.response) {
      response.on(name, (argument) => {
        note([
          name,
          state(),
          response.complete,
          response.aborted,
          response.destroyed,
          response.socket === null,
        ]);
        if (name === 'error') note([argument.code, argument.message]);
      });
    }
    act(request, response, note);
    READERS[reader](response, note);
  });
  request.end();
  await new Promise((resolve, reject) => {
    const late = () => reject(new Error(`it has not ended: ${path} ${JSON.stringify(seen)}`));
    const patience = setTimeout(late, PATIENCE);
    request.once('close', () => {
      clearTimeout(patience);
      resolve();
    });
  });
  // What comes behind the close of the request: the response's, and the socket's way back.
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  note([agent.totalSocketCount, Object.keys(agent.freeSockets).length, request.parser]);
  return seen;
}

function watch(socket) {
  client = socket;
}

function describeError({ name, code, message, reason, bytesParsed, rawPacket }) {
  if (bytesParsed === undefined) return [name, code, message];
  // How far the parser came is measured from another place then.
  const parsed = !/JS Exception|callback error/.test(message) && bytesParsed;
  return [name, code, message, reason, parsed, rawPacket.toString('latin1')];
}

function describe(response) {
  const { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, url, method, upgrade } =
    response;
  const { rawHeaders, headers, headersDistinct, rawTrailers, trailers, complete, aborted } = response;
  return [
    { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, url, method, upgrade },
    { rawHeaders, headers, headersDistinct, rawTrailers, trailers, complete, aborted },
    [response.joinDuplicateHeaders, response.req.path, response.socket.listenerCount('data')],
  ];
}

/** The traces of one exchange through all agents are the same; returns how many of them had no parser of Node's. */
async function compare(made, port, path, ...rest) {
  const before = taken;
  let expected;
  for (const [name, agent] of made) {
    const seen = await using(name, () => trace(agent, port, path, ...rest));
    if (name === 'raw') assert.equal(taken, before, 'Rust was told to leave it');
    expected ??= joined(seen);
    assert.deepEqual(joined(seen), expected, `${name}: ${path}`);
  }
  return taken - before;
}

/** Where the bytes were cut is the network's business: adjoining chunks are one. */
function joined(seen) {
  const out = [];
  for (const entry of seen) {
    const last = out.at(-1);
    if (['data', 'read', 'chunk'].includes(entry[0]) && last?.[0] === entry[0]) last[1] += entry[1];
    else out.push(Array.isArray(entry) ? [...entry] : entry);
  }
  return out;
}

module.exports = { READERS, agents, compare, startServer, using, watch, handedOver: () => taken };
