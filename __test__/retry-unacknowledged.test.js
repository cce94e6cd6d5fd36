'use strict';

// `retry: { unacknowledged: true }` (rule R5): a server that closed before it got a byte of the request, as
// the kernel can show on Linux. Closes that cross the request on the wire are made by losing packets.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { send, startServer, warm } = require('./helpers/blocked');
const { rawServer, socketPath } = require('./helpers/lane-server');
const { Network } = require('./helpers/network');

const timeout = 60_000;
const UNACKNOWLEDGED = { unacknowledged: true };

/**
 * The server ends its idle connection, and a request goes out before the client can know. What is lost
 * meanwhile is sent again by the kernels: first the server's end, then the request.
 */
async function crossing(network, end, options) {
  await network.agent({ maxSockets: 1, ...options.agent });
  assert.strictEqual((await network.send({ id: 'warm' })).status, 200);
  const { idle } = await network.call('ports');
  await network.untilAcknowledged();
  network.loseResponses(...idle);
  network.loseRequests(...idle);
  await network.server.command({ end });
  const pending = network.send({ id: 'it', body: 'x', ...options.request });
  // The end arrives when the request is on its way, and the request arrives after that.
  await network.until('sending', network.server.port);
  network.healResponses();
  await network.until('ended', network.server.port, idle[0]);
  // A reset must not overtake it.
  await network.until('read');
  network.heal();
  return pending;
}

for (const [method, version] of [['POST'], ['PATCH'], ['GET'], ['POST', 'TLSv1.2'], ['POST', 'TLSv1.3']]) {
  test(
    `${method}, ${version ?? 'TCP'}: a server that closed before it got a byte`,
    { timeout },
    async (t) => {
      const network = await Network.make(t, version);
      if (network === undefined) return;
      const request = { method };
      const result = await crossing(network, 'close', { agent: { retry: UNACKNOWLEDGED }, request });
      assert.deepStrictEqual(
        [result.status, result.attempts, result.reused],
        [200, 2, false],
        JSON.stringify(result),
      );
      assert.strictEqual(network.server.arrivals('it'), 1);
    },
  );
}

test('without the option it is reported', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  for (const agent of [{}, { retry: { unacknowledged: false } }]) {
    const result = await crossing(network, 'close', { agent, request: { method: 'POST' } });
    assert.deepStrictEqual([result.code, result.attempts], ['ECONNRESET', 1]);
  }
  assert.strictEqual(network.server.arrivals('it'), 0);
});

test('a request may ask for it, or forbid it', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  const asked = await crossing(network, 'close', { request: { method: 'POST', retry: UNACKNOWLEDGED } });
  assert.deepStrictEqual([asked.status, asked.attempts], [200, 2]);
  const forbidden = await crossing(network, 'close', {
    agent: { retry: UNACKNOWLEDGED },
    request: { method: 'POST', retry: false },
  });
  assert.deepStrictEqual([forbidden.code, forbidden.attempts], ['ECONNRESET', 1]);
  assert.strictEqual(network.server.arrivals('it'), 1);
});

for (const version of [undefined, 'TLSv1.2', 'TLSv1.3'])
  test(
    `${version ?? 'TCP'}: a server that half-closes and reads on has got it: not sent again`,
    { timeout },
    async (t) => {
      const network = await Network.make(t, version);
      if (network === undefined) return;
      const request = { method: 'POST' };
      const result = await crossing(network, 'half', { agent: { retry: UNACKNOWLEDGED }, request });
      assert.deepStrictEqual([result.code, result.attempts], ['ECONNRESET', 1]);
      assert.match(result.retry, /acknowledged bytes of it/);
      assert.strictEqual(network.server.arrivals('it'), 1);
    },
  );

test('a plain reset proves nothing', { timeout }, async (t) => {
  const network = await Network.make(t);
  if (network === undefined) return;
  await network.agent({ maxSockets: 1, retry: UNACKNOWLEDGED });
  await network.send({ id: 'warm' });
  const { idle } = await network.call('ports');
  // The server's FIN is lost for good, and the request meets nobody.
  network.loseResponses(...idle);
  await network.server.command({ end: 'reset' });
  network.heal();
  const result = await network.send({ id: 'it', method: 'POST', body: 'x' });
  assert.deepStrictEqual([result.code, result.attempts], ['ECONNRESET', 1]);
  assert.strictEqual(network.server.arrivals('it'), 0);
});

/** What was acknowledged is never sent again by this rule, however the connection dies. */
for (const death of [
  'close',
  'half',
  'half-reset',
  'reset',
  'close/20',
  'close@1',
  'reset@1',
  'part-head',
  'part-body',
  'part-body-reset',
  'processing-close',
  'timeout',
]) {
  test(`acknowledged, then ${death}: only what may be repeated is`, { timeout }, async (t) => {
    const answered = /^(?:part|processing|timeout)/.test(death);
    for (const [method, again] of [
      ['POST', false],
      ['PUT', !answered],
    ]) {
      const server = await startServer(t);
      const agent = new HttpAgent({ maxSockets: 1, retry: UNACKNOWLEDGED });
      t.after(() => agent.destroy());
      await warm(agent, server);
      const { status, error, request } = await send(agent, server, {
        id: 'it',
        method,
        body: 'body',
        act: `${death},ok`,
      });
      const came = server.arrivals('it');
      assert.deepStrictEqual([request.attempts, came], again ? [2, 2] : [1, 1], method);
      if (again) assert.strictEqual(status, 200);
      else if (death === 'timeout') assert.strictEqual(status, 408);
      else assert.strictEqual(error.code, 'ECONNRESET');
    }
  });
}

const skip = process.platform === 'win32' && 'no Unix sockets';

test('of a Unix socket the system has no evidence', { timeout, skip }, async (t) => {
  const where = socketPath(t);
  let came = 0;
  const onConnection = (socket) => {
    socket.on('data', () => {
      if (++came === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else socket.destroy();
    });
  };
  await rawServer(t, onConnection, {}, where);
  const agent = new HttpAgent({ maxSockets: 1, retry: UNACKNOWLEDGED });
  t.after(() => agent.destroy());
  const request = () => http.request({ socketPath: where, agent, method: 'POST' }).end();
  const [response] = await once(request(), 'response');
  await once(response.resume(), 'end');
  const lost = request();
  const [error] = await once(lost, 'error');
  assert.deepStrictEqual([error.code, lost.attempts, lost.reusedSocket, came], ['ECONNRESET', 1, true, 2]);
  assert.match(error.connection.retry, /no evidence on this system/);
});
