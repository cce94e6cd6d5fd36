'use strict';

// What Rust does not do goes to Node's own sockets: it works as with http.Agent, without our retries
// and our watch. Said once per process and reason, so that nobody wonders.

const { getSystemErrorName } = require('util');

const warned = new Set();

function warnNodeSocket(reason) {
  if (warned.has(reason)) return;
  warned.add(reason);
  warn(`connections with ${reason} use Node's own sockets`);
}

/** The thread could not be started: `errno` says why, as libuv numbers it. */
function warnNoThread(errno) {
  const code = getSystemErrorName(errno);
  if (warned.has(code)) return;
  warned.add(code);
  warn(`offloop's thread does not start (${code}): until it does, connections use Node's own sockets`);
}

function warn(what) {
  process.emitWarning(`${what}: they are not watched, retried or connected off the event loop`, {
    type: 'OffloopWarning',
    code: 'OFFLOOP_NODE_SOCKET',
  });
}

module.exports = { warnNoThread, warnNodeSocket };
