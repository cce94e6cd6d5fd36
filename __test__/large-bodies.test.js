'use strict';

// Large bodies arrive as they were sent, whatever the pieces, over every kind of connection.

const assert = require('node:assert');
const { createHash, randomBytes, randomInt } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { atEnd, httpServer, seeingAgent, socketPath } = require('./helpers/lane-server');

const KiB = 1024;
const options = { timeout: 60_000 };

/** Cut anew for each body. */
const source = randomBytes(4096 * KiB);

const digest = (bytes) => createHash('sha1').update(bytes).digest('hex');

async function tlsServer(t, onRequest) {
  // A server of Node 26 refuses a request (HPE_PAUSED) that comes over TLS while its socket has yet to say 'drain' for
  // the response before. With this mark it never has to.
  const highWaterMark = 16 * 1024 * KiB;
  const server = https.createServer({ cert, key, highWaterMark }, onRequest).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  return Object.assign(server, server.address());
}

/** Starts a server of each kind: what a request needs to reach it. */
const KINDS = {
  TCP: async (t, onRequest) => {
    const { port } = await httpServer(t, onRequest);
    return { module: http, agent: seeingAgent(t, HttpAgent), at: { host: '127.0.0.1', port } };
  },
  TLS: async (t, onRequest) => {
    const { port } = await tlsServer(t, onRequest);
    return {
      module: https,
      agent: seeingAgent(t, HttpsAgent, { ca: cert }),
      at: { host: '127.0.0.1', port },
    };
  },
  Unix: async (t, onRequest) => {
    const server = await httpServer(t, onRequest, { path: socketPath(t) });
    return { module: http, agent: seeingAgent(t, HttpAgent), at: { socketPath: server.address() } };
  },
};

const pause = () => new Promise((resolve) => setTimeout(resolve, randomInt(3)));

/** Writes `bytes` in pieces of any size up to `most`, and waits now and then. */
async function writeInPieces(writable, bytes, most) {
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, (at += randomInt(1, most)));
    if (!writable.write(piece)) await once(writable, 'drain');
    if (randomInt(20) === 0) await pause();
  }
  writable.end();
}

/** Reads it all, and waits now and then. Half of the pieces are kept until the end. */
async function readSlowly(readable) {
  const hash = createHash('sha1');
  const kept = [];
  for await (const chunk of readable) {
    hash.update(chunk);
    if (randomInt(2) === 0) kept.push([chunk, digest(chunk)]);
    if (randomInt(20) === 0) await pause();
  }
  for (const [chunk, sum] of kept) assert.strictEqual(digest(chunk), sum, 'a piece has changed later');
  return hash.digest('hex');
}

for (const [kind, start] of Object.entries(KINDS)) {
  const skip = kind === 'Unix' && process.platform === 'win32' && 'no Unix sockets';

  for (const length of [4 * KiB, 32 * KiB, 64 * KiB, 128 * KiB, 256 * KiB, 3000 * KiB]) {
    test(`${kind}: bodies of about ${length / KiB} KiB, both ways`, { ...options, skip }, async (t) => {
      const onRequest = async (request, response) => {
        const hash = createHash('sha1');
        for await (const chunk of request) hash.update(chunk);
        const [from, size, most] = request.url.split('/').slice(1).map(Number);
        const body = source.subarray(from, from + size);
        const framing = randomInt(3) > 0 ? { 'Content-Length': size } : {};
        response.writeHead(200, { ...framing, 'X-Received': hash.digest('hex') });
        await writeInPieces(response, body, most);
      };
      const { module, agent, at } = await start(t, onRequest);
      const exchange = async () => {
        const size = length + randomInt(-40, 40);
        const from = randomInt(source.length - size);
        const body = source.subarray(from, from + size);
        const most = randomInt(2, 4) * Math.ceil(size / randomInt(2, 30));
        const request = module.request({
          ...at,
          agent,
          method: 'POST',
          path: `/${from}/${size}/${most}`,
          headers: { 'Content-Length': size },
        });
        const responded = once(request, 'response');
        if (randomInt(3) === 0) request.end(body);
        else await writeInPieces(request, body, most);
        const [response] = await responded;
        assert.strictEqual(response.headers['x-received'], digest(body));
        assert.strictEqual(await readSlowly(response), digest(body));
      };
      for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 6 }, exchange));
    });
  }
}

test('a body that is kept stays as it was while others come', options, async (t) => {
  const bodies = Array.from({ length: 20 }, () => randomBytes(randomInt(40, 200) * KiB));
  const server = await httpServer(t, (req, res) => res.end(bodies[Number(req.url.slice(1))]));
  const agent = seeingAgent(t, HttpAgent);
  const collect = async (index) => {
    const request = http.get({ host: '127.0.0.1', port: server.port, agent, path: `/${index}` });
    const [response] = await once(request, 'response');
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    return chunks;
  };
  const kept = await Promise.all(bodies.map((_, index) => collect(index)));
  for (let round = 0; round < 20; round++) await Promise.all(bodies.map((_, index) => collect(index)));
  kept.forEach((chunks, index) => assert.ok(Buffer.concat(chunks).equals(bodies[index])));
});
