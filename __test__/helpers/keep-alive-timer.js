'use strict';

// What Linux tells everybody of the keep-alive probes of a connection.

const fs = require('node:fs');

/** In how many seconds the connection from this port is probed; 0 if it is not. */
function keepAliveTimer(localPort) {
  const hex = localPort.toString(16).toUpperCase().padStart(4, '0');
  const row = fs
    .readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, , state]) => local?.endsWith(`:${hex}`) && state === '01');
  // 02: the keep-alive timer runs; then its time in 1/100 s.
  const [kind, when] = row[5].split(':');
  return kind === '02' ? parseInt(when, 16) / 100 : 0;
}

module.exports = { keepAliveTimer };
