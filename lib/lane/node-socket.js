'use strict';

// What is said of the errors on Node's own sockets (fallback.js says when they are used). Less is known
// of them: they are not watched here, so who ended one has to be read off the error.

// Not Date: it may be set, or be the clock of a test.
const { performance } = require('perf_hooks');

const { closeReason } = require('../crossing/records');
const { addressesOf, explain, explainLater } = require('../request/facts');

/** What is said of each of them. */
const FACTS = { path: 'node', retry: "not sent again: Node's own socket" };
/** The same as the rows of a loss (facts.js). */
const FACT_ROWS = Object.entries(FACTS)
  .map((fact) => fact.join('\t'))
  .join('\n');

/** When a socket of Node's was opened (ms). */
const kOpened = Symbol('opened');
const kEnded = Symbol('ended');

function opened(socket) {
  socket[kOpened] = performance.now();
}

/** The age of a socket in ms; 0 if it is not one of ours. */
function ageOf(socket) {
  return performance.now() - (socket[kOpened] ?? performance.now());
}

/** The agent is about to destroy its sockets. */
function ending({ sockets, freeSockets }) {
  for (const lists of [sockets, freeSockets]) {
    for (const socket of Object.values(lists).flat()) if (kOpened in socket) socket[kEnded] = true;
  }
}

/** Has the errors of the request explained that it gets on a socket of Node's. */
function watchRequest(request, socket) {
  // Of a socket that is closed Node forgets them.
  let addresses = {};
  const noteAddresses = () => (addresses = addressesOf(socket));
  if (socket.connecting) socket.once('connect', noteAddresses);
  else noteAddresses();
  explainLater(request, (error) => {
    const { path, retry } = FACTS;
    const facts = { path, reused: request.reusedSocket, age: ageOf(socket), ...addresses, retry };
    const cause = socket.errored ?? error;
    explain(error, reasonOf(cause, socket), facts, !isPrograms(cause));
  });
}

/** Whether it is an error of the program's, by the looks of it. */
function isPrograms(error) {
  return error.code !== 'ECONNRESET' && error.syscall === undefined && !isAggregate(error);
}

/** Whether several addresses were tried, of which each has failed. */
function isAggregate({ errors }) {
  return Array.isArray(errors);
}

const PEER_RESET = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

function reasonOf(error, socket) {
  const { code, syscall } = error;
  if (syscall === 'getaddrinfo') return closeReason.LOOKUP_FAILED;
  if (syscall === 'connect' || isAggregate(error)) {
    return code === 'ETIMEDOUT' ? closeReason.CONNECT_TIMEOUT : closeReason.CONNECT_FAILED;
  }
  if (socket[kEnded]) return closeReason.AGENT_DESTROYED;
  if (socket.encrypted && socket.secureConnecting && code !== 'ABORT_ERR') return closeReason.TLS_FAILED;
  if (syscall !== undefined) {
    if (PEER_RESET.has(code)) return closeReason.PEER_RESET;
    return code === 'ETIMEDOUT' ? closeReason.DEAD_PEER : closeReason.NETWORK_ERROR;
  }
  // 'socket hang up' and 'aborted' are Node's words for an end of either side.
  if (code === 'ECONNRESET' && socket.readableEnded) return closeReason.PEER_FIN;
  if (/^HPE_/.test(code)) return closeReason.INVALID_RESPONSE;
  return closeReason.ABORTED;
}

module.exports = { FACT_ROWS, ageOf, ending, opened, reasonOf, watchRequest };
