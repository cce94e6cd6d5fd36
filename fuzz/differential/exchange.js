'use strict';

// One exchange, and everything that a program sees of it, in order.

const { AsyncLocalStorage } = require('node:async_hooks');
const http = require('node:http');

const storage = new AsyncLocalStorage();

/** The longest that an exchange may take from one step to the next, in ms; one that is stuck is a finding. */
const PATIENCE = 10_000;

/** Ways of reading a response. */
const READERS = {
  flowing: (response, note) => response.on('data', (chunk) => note('data', chunk.toString('latin1'))),
  text: (response, note) => response.setEncoding('latin1').on('data', (chunk) => note('data', chunk)),
  readable: (response, note) =>
    response.on('readable', () => {
      for (let chunk; (chunk = response.read()) !== null;) note('data', chunk.toString('latin1'));
    }),
  later: (response, note) => {
    response.pause();
    response.on('data', (chunk) => note('data', chunk.toString('latin1')));
    setImmediate(() => response.resume());
  },
  iterator: async (response, note) => {
    try {
      for await (const chunk of response) note('data', chunk.toString('latin1'));
      note('iterated');
    } catch (error) {
      note('iterator', error.code);
    }
  },
  dumped: (response) => response.resume(),
};

/** What a program may do when the response comes. */
const ACTS = {
  nothing: () => {},
  'destroys the response': (request, response) => response.destroy(),
  'destroys the request': (request) => request.destroy(),
  'destroys the request with an error': (request) => request.destroy(new Error('enough')),
  'destroys the request at the first chunk': (request, response) =>
    response.once('data', () => request.destroy()),
  'destroys the response at the first chunk': (request, response) =>
    response.once('data', () => response.destroy()),
  'aborts the request': (request) => request.abort(),
  'destroys the socket': (request) => request.socket.destroy(),
  'destroys the socket at the first chunk': (request, response) =>
    response.once('data', () => request.socket.destroy()),
  'reads the socket': (request, response, note) => readSocket(response, note),
  'reads the socket from the first chunk on': (request, response, note) =>
    response.once('data', () => readSocket(response, note)),
  'pauses the socket at the first chunk': (request, response) =>
    response.once('data', () => {
      const { socket } = response;
      socket.pause();
      setImmediate(() => socket.resume());
    }),
  'changes the encoding at the first chunk': (request, response) =>
    response.once('data', () => response.setEncoding('latin1')),
  'looks at the listeners': (request, response, note) =>
    note(...['data', 'end', 'close', 'error', 'drain'].map((event) => response.socket.listenerCount(event))),
  'looks at the counters': (request, response, note) =>
    note(response.socket.bytesWritten, response.socket.timeout, response.socket.readableFlowing),
};

/** Until the response has ended: the socket may serve others after that. */
function readSocket(response, note) {
  const { socket } = response;
  const listener = (chunk) => note('of the socket', chunk.toString('latin1'));
  socket.on('data', listener);
  response.once('close', () => socket.removeListener('data', listener));
}

const REQUEST_EVENTS = ['socket', 'finish', 'information', 'continue', 'abort', 'timeout', 'error', 'close'];
const RESPONSE_EVENTS = ['resume', 'pause', 'end', 'aborted', 'error', 'close'];

/** What is to be seen of a message. */
function describe(message) {
  const { statusCode, statusMessage, httpVersion, url, method, upgrade, complete, aborted } = message;
  const { rawHeaders, headers, headersDistinct, rawTrailers, trailers, trailersDistinct } = message;
  return [
    { statusCode, statusMessage, httpVersion, url, method, upgrade, complete, aborted },
    { rawHeaders, headers, headersDistinct, rawTrailers, trailers, trailersDistinct },
  ];
}

/**
 * Sends a request and has the server answer it with `pieces`, each written when the one before has been read;
 * then, unless the response is complete, the connection ends. Resolves to the trace.
 */
async function exchange(agent, server, port, id, { options, body, reader, act, pieces, end }) {
  const trace = [];
  const note = (...what) => trace.push([storage.getStore(), ...what]);
  let socket;
  let isClosed = false;
  const request = storage.run('request', () =>
    http.request({ host: '127.0.0.1', port, path: `/${id}`, agent, ...options }),
  );
  const state = ({ destroyed, aborted, reusedSocket, finished, res }) => [
    { destroyed, aborted, reusedSocket, finished, answered: res !== null },
  ];
  for (const event of REQUEST_EVENTS) {
    request.on(event, (argument) => {
      if (event === 'socket') socket = argument;
      note(event, state(request), event === 'information' && [argument.statusCode, argument.rawHeaders]);
      // Ours have names of their own.
      if (event === 'error')
        note(argument instanceof Error, argument.code, argument.message, argument.bytesParsed);
    });
  }
  request.on('upgrade', (response, its, head) => {
    note('upgrade', state(request), describe(response), head.toString('latin1'));
    its.destroy();
  });
  request.on('response', (response) => {
    note('response', state(request), describe(response), request.shouldKeepAlive);
    for (const event of RESPONSE_EVENTS) {
      response.on(event, (error) => {
        // When a response is paused or goes on, more of it may have come meanwhile.
        if (event === 'resume' || event === 'pause') return note(event);
        const { complete, aborted, destroyed, rawTrailers } = response;
        note(event, state(request), { complete, aborted, destroyed, rawTrailers }, response.socket === null);
        return event === 'error' && note(error.code, error.message);
      });
    }
    ACTS[act](request, response, note);
    READERS[reader](response, note);
  });
  const closed = new Promise((resolve) => request.once('close', () => resolve((isClosed = true))));
  const patience = setTimeout(() => (note('stuck'), request.destroy()), PATIENCE);
  request.end(body);

  await Promise.race([server.asked(id), closed]);
  const before = socket?.bytesRead ?? 0;
  let sent = 0;
  for (const piece of pieces) {
    // What comes behind a response is a matter of its own (`late`).
    if (isClosed || socket.destroyed || request.res?.complete) break;
    patience.refresh();
    server.write(id, piece);
    sent += piece.length;
    // What a lane has read may wait in it until the response has room.
    const isRead = () => socket.bytesRead - before >= sent && socket.readableLength === 0;
    for (let i = 0; !isClosed && !socket.destroyed && !isRead(); i++) {
      await (i < 20 ? new Promise(setImmediate) : new Promise((resolve) => setTimeout(resolve, 1)));
    }
  }
  // What has been read is handled by now.
  for (let i = 0; i < 2; i++) await new Promise(setImmediate);
  if (!isClosed && !request.res?.complete) server.end(id, end);
  await closed;
  clearTimeout(patience);
  // What comes behind the close of the request: the response's, and the socket's way back.
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  note('books', agent.totalSocketCount, Object.values(agent.freeSockets).flat().length);
  return joined(trace);
}

/** Where a body was cut is the network's business: adjoining pieces are one. */
function joined(trace) {
  const out = [];
  for (const entry of trace) {
    const last = out.at(-1);
    if (entry[1] === 'data' && last?.[1] === 'data') last[2] += entry[2];
    else out.push(entry);
  }
  return out;
}

module.exports = { ACTS, READERS, exchange };
