'use strict';

// What Rust does not do goes to Node's own sockets: it works as with http.Agent, without our retries
// and our watch. Said once per process and reason, so that nobody wonders, as long as there are not too many.

const { getSystemErrorName } = require('util');

/** What is told of in all: a program that goes through many origins meets many servers that rustls refuses. */
const MAX_WARNINGS = 100;

const warned = new Set();

function warnNodeSocket(reason) {
  warnOnce(reason, `connections with ${reason} use Node's own sockets`);
}

/** The thread could not be started: `errno` says why, as libuv numbers it. */
function warnNoThread(errno) {
  const code = getSystemErrorName(errno);
  warnOnce(
    code,
    `offloop's thread does not start (${code}): until it does, connections use Node's own sockets`,
  );
}

function warnOnce(reason, what) {
  if (warned.has(reason) || warned.size === MAX_WARNINGS) return;
  warned.add(reason);
  const isLast = warned.size === MAX_WARNINGS;
  warn(isLast ? "connections for more reasons than can be told use Node's own sockets" : what);
}

function warn(what) {
  process.emitWarning(`${what}: they are not watched, retried or connected off the event loop`, {
    type: 'OffloopWarning',
    code: 'OFFLOOP_NODE_SOCKET',
  });
}

module.exports = { warnNoThread, warnNodeSocket };
