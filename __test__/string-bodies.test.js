'use strict';

// Strings arrive whole, whatever their encoding: the limits by which output is cut into pieces are bytes, and a string
// has up to three of them for each of its units.

const assert = require('node:assert');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { atEnd, seeingAgent } = require('./helpers/lane-server');

const KiB = 1024;

/** What bodies are made of, and the bytes of each unit. */
const ENCODINGS = {
  utf8: { unit: '€', bytes: 3 },
  utf16le: { unit: '€', bytes: 2 },
  latin1: { unit: 'é', bytes: 1 },
  hex: { unit: '7', bytes: 0.5 },
  base64: { unit: 'z', bytes: 0.75 },
};
/** Up to the first a string goes through a shared buffer, up to the second it is handed over in one piece. */
const LIMITS = [16 * KiB, 128 * KiB];

/** Lengths in units around each limit, be it one of units or of bytes. */
function lengths(bytes) {
  const around = LIMITS.flatMap((limit) => [limit / bytes, limit, limit * 3]);
  return around.flatMap((length) => [-1, 0, 1].map((offset) => Math.floor(length) + offset));
}

const WAYS = {
  'in one piece': (request, body, encoding) => request.end(body, encoding),
  'behind the head': async (request, body, encoding) => {
    request.flushHeaders();
    const [socket] = await once(request, 'socket');
    if (socket.connecting) await once(socket, 'ready');
    request.write(body, encoding);
    request.end();
  },
  'in two pieces at once': (request, body, encoding) => {
    // Four digits are whole bytes in hex and in base64.
    const half = Math.floor(body.length / 8) * 4;
    request.write(body.slice(0, half), encoding);
    request.end(body.slice(half), encoding);
  },
};

for (const [kind, module, Agent] of [
  ['TCP', http, HttpAgent],
  ['TLS', https, HttpsAgent],
]) {
  for (const [encoding, { unit, bytes }] of Object.entries(ENCODINGS)) {
    test(`${kind}: a body in ${encoding}, of any length`, { timeout: 60_000 }, async (t) => {
      const server = module.createServer({ cert, key }, (request, response) => {
        const hash = createHash('sha1');
        request.on('data', (chunk) => hash.update(chunk));
        request.on('end', () => response.end(hash.digest('hex')));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      atEnd(t, () => {
        server.close();
        server.closeAllConnections();
      });
      const agent = seeingAgent(t, Agent, { ca: cert, maxSockets: 1 });
      const at = { host: '127.0.0.1', port: server.address().port, agent, method: 'POST' };
      for (const length of lengths(bytes)) {
        const body = unit.repeat(length);
        const expected = createHash('sha1').update(Buffer.from(body, encoding)).digest('hex');
        for (const [way, write] of Object.entries(WAYS)) {
          const request = module.request({
            ...at,
            headers: { 'Content-Length': Buffer.byteLength(body, encoding) },
          });
          const responded = once(request, 'response');
          await write(request, body, encoding);
          const [response] = await responded;
          const chunks = await response.toArray();
          assert.strictEqual(String(Buffer.concat(chunks)), expected, `${length} units, ${way}`);
        }
      }
    });
  }
}
