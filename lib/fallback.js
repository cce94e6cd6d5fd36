'use strict';

// What Rust does not do goes to Node's own sockets: it works as with http.Agent, without our retries
// and our watch. Said once per process and reason, so that nobody wonders.

const warned = new Set();

function warnNodeSocket(reason) {
  if (warned.has(reason)) return;
  warned.add(reason);
  process.emitWarning(
    `connections with ${reason} use Node's own sockets: they are not watched, retried or connected off the event loop`,
    { type: 'OffloopWarning', code: 'OFFLOOP_NODE_SOCKET' },
  );
}

module.exports = { warnNodeSocket };
