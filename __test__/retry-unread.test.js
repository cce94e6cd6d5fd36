'use strict';

// A server that has stopped reading when the request comes: its kernel takes the bytes and acknowledges them, and no
// program ever sees them. To the client that is a request that was read and lost.

const assert = require('node:assert');
const { once } = require('node:events');
const net = require('node:net');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { send, socketRows, until, warm } = require('./helpers/blocked');
const { reset } = require('./helpers/reset');

/** What waits unread is seen in the kernel's table. */
const options = { timeout: 30_000, skip: process.platform !== 'linux' && 'needs /proc' };

/** Bytes that wait for the server to read them. */
function unread({ localPort, remotePort }) {
  // Of this process's sockets the server's leads to the client's port, and others may once have led there.
  const own = localPort.toString(16).toUpperCase().padStart(4, '0');
  const [, , , , queues] = socketRows(remotePort).find(([, local]) => local.endsWith(`:${own}`));
  return parseInt(queues.split(':')[1], 16);
}

/** Answers the first request on its first connection and then reads no more; answers all on later ones. */
async function startDeafServer(t) {
  const sockets = [];
  const read = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    const isDeaf = sockets.length === 1;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const [, id] = /^x-id: (.*)\r$/m.exec(bytes);
      read.push(id);
      socket.write(`HTTP/1.1 200 OK\r\nX-Id: ${id}\r\nContent-Length: 0\r\n\r\n`);
      // pause() alone would let the stream fill its buffer.
      if (isDeaf) socket._handle.readStop();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: server.address().port, sockets, read };
}

for (const [end, act] of Object.entries({ closes: (socket) => socket.destroy(), resets: reset })) {
  for (const retry of [undefined, { unacknowledged: true }]) {
    for (const [method, isRepeatable] of [
      ['GET', true],
      ['HEAD', true],
      ['PUT', true],
      ['DELETE', true],
      ['POST', false],
      ['PATCH', false],
    ]) {
      const what = `${method}${retry ? ', unacknowledged: true' : ''}`;
      const then = isRepeatable ? 'sent again, once' : 'reported';
      test(`${what}: a server that does not read and ${end}: ${then}`, options, async (t) => {
        const server = await startDeafServer(t);
        const agent = new HttpAgent({ maxSockets: 1, retry });
        t.after(() => agent.destroy());
        await warm(agent, server);
        const [deaf] = server.sockets;
        const sent = send(agent, server, { id: 'it', method });
        await until(() => unread(deaf) > 0);
        act(deaf);
        const { status, error, request } = await sent;
        const came = server.read.filter((id) => id === 'it').length;
        if (isRepeatable) {
          assert.deepStrictEqual([status, request.attempts, came], [200, 2, 1]);
        } else {
          // What is closed with bytes unread is reset by the kernel.
          assert.deepStrictEqual([error.code, error.reason], ['ECONNRESET', 'peer-reset']);
          assert.deepStrictEqual([request.attempts, came, server.sockets.length], [1, 0, 1]);
        }
      });
    }
  }
}
