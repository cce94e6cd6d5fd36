'use strict';

// Large bodies arrive as they were sent, whatever the pieces, over every kind of connection.

const assert = require('node:assert');
const { createHash, randomBytes } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');
const { cert, key } = require('./helpers/certificate');
const { generator, newSeed } = require('./helpers/generator');
const { atEnd, httpServer, seeingAgent, socketPath } = require('./helpers/lane-server');

const KiB = 1024;
const options = { timeout: 60_000 };

/** Cut anew for each body. */
const source = randomBytes(4096 * KiB);

const digest = (bytes) => createHash('sha1').update(bytes).digest('hex');

async function tlsServer(t, onRequest) {
  const server = https.createServer({ cert, key }, onRequest).listen(0, '127.0.0.1');
  // A server of Node's refuses a request (HPE_PAUSED) of several TLS records that comes while its socket has yet to say
  // 'drain' for the response before: a tick of the event loop after the last byte has left. With this mark it never has
  // to. A server's `highWaterMark` is that of the TCP socket below.
  server.on('secureConnection', (socket) => {
    socket._writableState.highWaterMark = 16 * 1024 * KiB;
  });
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

const pause = (random) => new Promise((resolve) => setTimeout(resolve, random.integer(0, 2)));

/** Writes `bytes` in pieces of any size up to `most`, and waits now and then. */
async function writeInPieces(random, writable, bytes, most) {
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, (at += random.integer(1, most - 1)));
    if (!writable.write(piece)) await once(writable, 'drain');
    if (random.chance(0.05)) await pause(random);
  }
  writable.end();
}

/** Reads it all, and waits now and then. Half of the pieces are kept until the end. */
async function readSlowly(random, readable) {
  const hash = createHash('sha1');
  const kept = [];
  for await (const chunk of readable) {
    hash.update(chunk);
    if (random.chance(0.5)) kept.push([chunk, digest(chunk)]);
    if (random.chance(0.05)) await pause(random);
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
        const [from, size, most, seed] = request.url.split('/').slice(1).map(Number);
        const random = generator(~seed);
        const body = source.subarray(from, from + size);
        const framing = random.chance(2 / 3) ? { 'Content-Length': size } : {};
        response.writeHead(200, { ...framing, 'X-Received': hash.digest('hex') });
        await writeInPieces(random, response, body, most);
      };
      const { module, agent, at } = await start(t, onRequest);
      const seeds = generator(newSeed(t));
      const exchange = async () => {
        // Of its own: the exchanges of a round go on in any order.
        const seed = seeds.integer(0, 2 ** 31);
        const random = generator(seed);
        const size = length + random.integer(-40, 39);
        const from = random.integer(0, source.length - size - 1);
        const body = source.subarray(from, from + size);
        const most = random.integer(2, 3) * Math.ceil(size / random.integer(2, 29));
        const request = module.request({
          ...at,
          agent,
          method: 'POST',
          path: `/${from}/${size}/${most}/${seed}`,
          headers: { 'Content-Length': size },
        });
        const responded = once(request, 'response');
        if (random.chance(1 / 3)) request.end(body);
        else await writeInPieces(random, request, body, most);
        const [response] = await responded;
        assert.strictEqual(response.headers['x-received'], digest(body), request.path);
        assert.strictEqual(await readSlowly(random, response), digest(body), request.path);
      };
      for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 6 }, exchange));
    });
  }
}

test('a body that is kept stays as it was while others come', options, async (t) => {
  const random = generator(newSeed(t));
  const bodies = Array.from({ length: 20 }, () => randomBytes(random.integer(40, 199) * KiB));
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
