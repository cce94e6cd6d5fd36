'use strict';

// Bytes that come on an idle connection belong to no request: a 408, or a forged answer that waits for
// the next one. They must never be an answer to anything.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { blockUntil, send, transport, until, warm } = require('./helpers/blocked');

const { Agent, listen, request, startServer } = transport();

const timeout = 30_000;

for (const what of ['timeout', 'forge']) {
  for (const blocked of [true, false]) {
    for (const method of ['GET', 'POST']) {
      test(
        `${what} on an idle connection, ${blocked ? 'blocked' : 'not blocked'}, ${method}`,
        { timeout },
        async (t) => {
          const server = await startServer(t);
          const agent = new Agent({ freeSocketTimeout: 0 });
          t.after(() => agent.destroy());
          await warm(agent, server, 4);
          if (blocked) {
            server.post({ end: what });
            assert.ok(blockUntil(() => server.events('closed').length === 4));
          } else {
            await server.command({ end: what });
            await until(() => Object.keys(agent.freeSockets).length === 0);
          }
          const requests = [];
          for (let i = 0; i < 4; i++) requests.push(send(agent, server, { id: `it-${i}`, method }));
          for (const [i, { status, body, id, error }] of (await Promise.all(requests)).entries()) {
            assert.equal(error, undefined);
            assert.deepEqual([status, body, id], [200, `ok:it-${i}`, `it-${i}`]);
          }
          const used = server.events('request').slice(4);
          assert.ok(
            used.every(({ connection }) => connection > 4),
            'one of the old connections was used',
          );
        },
      );
    }
  }
}

test('a forged answer behind the real one waits for nobody', { timeout }, async (t) => {
  const server = await startServer(t);
  const agent = new Agent({ maxSockets: 1 });
  t.after(() => agent.destroy());
  // In the same segment; then in one of its own, read in the same batch; each with a request that waits.
  const ways = [
    { act: 'double/50' },
    { act: 'ok/50', then: 'forge/0' },
    { act: 'chunked/50', then: 'forge/5' },
  ];
  for (const [i, options] of ways.entries()) {
    for (let attempt = 0; ; attempt++) {
      const [first, second] = [`first-${i}-${attempt}`, `second-${i}-${attempt}`];
      const answers = [
        send(agent, server, { id: first, ...options }),
        send(agent, server, { id: second, method: 'POST' }),
      ];
      await until(() => server.arrivals(first) === 1);
      const count = server.events('closed').length;
      // On a machine too slow to be blocked by now the forged answer may cross the second request, and
      // nobody can tell.
      const crossed = server.events('answered', first).length > 0;
      if (!crossed) {
        assert.ok(blockUntil(() => server.events('answered', first).length > 0));
        if (options.then) assert.ok(blockUntil(() => server.events('closed').length > count));
      }
      const [one, other] = await Promise.all(answers);
      await until(() => agent.totalSocketCount <= 1);
      if (crossed) continue;
      assert.equal(one.body, `ok:${first}`);
      assert.deepEqual([other.error, other.body], [undefined, `ok:${second}`]);
      const [before, after] = [first, second].map((id) => server.events('request', id).at(-1).connection);
      assert.notEqual(before, after, 'a connection that spoke out of turn was used again');
      break;
    }
  }
});

test(
  'bytes that come while the answer is not read yet are not kept for the next request',
  { timeout },
  async (t) => {
    const server = await startServer(t);
    const agent = new Agent({ maxSockets: 1 });
    t.after(() => agent.destroy());
    const { request } = send(agent, server, { id: 'first', then: 'forge/10' });
    request.removeAllListeners('response');
    const response = await new Promise((resolve) => request.on('response', resolve));
    // Its reader is slow: the connection is not idle yet when the bytes come.
    await until(() => server.events('closed').length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    response.resume();
    const { body, error } = await send(agent, server, { id: 'second', method: 'POST' });
    assert.deepEqual([error, body], [undefined, 'ok:second']);
  },
);

test('bytes behind an answer are counted as what they are, whoever finds them', { timeout }, async (t) => {
  const server = await startServer(t);
  const meter = new Agent();
  t.after(() => meter.destroy());
  const { request } = await send(meter, server, { id: 'it-0' });
  const maxReadAheadBytes = request.socket.bytesRead;
  // The response is all that is read ahead, so what comes behind it waits in the kernel: for the connection's
  // task, for the moment at which the next request takes the connection, or for the last look before its first byte.
  const agent = new Agent({ maxSockets: 1, maxSentAhead: 0, maxReadAheadBytes });
  t.after(() => agent.destroy());
  const stats = () => agent.stats()[`127.0.0.1:${server.port}`];
  for (let i = 1; i <= 4; i++) {
    const first = send(agent, server, { id: `it-${i}`, then: 'forge/50' });
    first.request.on('response', () => {
      const closed = () => server.events('closed').length === i;
      assert.ok(blockUntil(closed));
    });
    // It takes the connection in the tick in which the response ends.
    const second = send(agent, server, { id: `to-${i}`, method: 'POST', headers: { connection: 'close' } });
    assert.equal((await first).body, `ok:it-${i}`);
    const { body, error } = await second;
    assert.deepEqual([body, error], [`ok:to-${i}`, undefined]);
    assert.equal(stats().closes['unexpected-data'], i);
  }
  assert.equal(stats().closes['peer-closed-idle'], undefined);
  assert.equal(stats().learnedLimit, undefined, 'something was learned of it');
});

test('what comes in one read with the end of an answer is no end like any other', { timeout }, async (t) => {
  const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged';
  const answers = [
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['GET', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(5000)}\r\nContent-Length: 2\r\n\r\nok`],
  ];
  let connections = 0;
  const server = listen((socket) => {
    const number = String(++connections);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const [, path, index, more] = /^\w+ \/(\w+)\/?(\w*)\/?(\w*) /.exec(bytes.toString('latin1'));
      const good = `HTTP/1.1 200 OK\r\nContent-Length: ${number.length}\r\n\r\n${number}`;
      if (path === 'good') {
        socket.write(good);
        return;
      }
      const whole = answers[index][1] + (more === 'byte' ? 'H' : forged);
      const cut = path === 'cut' ? answers[index][1].length - 1 : 0;
      if (cut > 0) socket.write(whole.slice(0, cut));
      setTimeout(() => socket.write(whole.slice(cut)), cut > 0 ? 10 : 0);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address();
  for (const [index, [method]] of answers.entries()) {
    for (const path of ['whole', 'cut']) {
      for (const more of ['byte', 'response']) {
        const agent = new Agent();
        const ask = (method, path) =>
          new Promise((resolve, reject) => {
            const made = request({ host: '127.0.0.1', port, agent, method, path }, (response) => {
              let body = '';
              response.setEncoding('utf8').on('data', (chunk) => (body += chunk));
              response.on('end', () => setImmediate(resolve, body));
            });
            made.on('error', reject).end();
          });
        const before = await ask('GET', '/good');
        await ask(method, `/${path}/${index}/${more}`);
        const what = `${method} ${index} ${path} ${more}`;
        assert.notEqual(await ask('GET', '/good'), before, what);
        const { closes } = agent.stats()[`127.0.0.1:${port}`];
        assert.deepEqual({ ...closes }, { 'unexpected-data': 1 }, what);
        agent.destroy();
      }
    }
  }
});

test('bytes that a lane holds when its response is over are no answer', { timeout }, async (t) => {
  const server = await startServer(t);
  for (const waits of [false, true]) {
    const agent = new Agent({ maxSockets: 1 });
    t.after(() => agent.destroy());
    const first = send(agent, server, { id: 'first' });
    const second = () => send(agent, server, { id: 'second', method: 'POST' });
    const waiting = waits ? second() : undefined;
    first.request.on('response', (response) => {
      const { socket } = response;
      response.on('end', () =>
        socket.unshift(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged')),
      );
    });
    await first;
    const { body, error } = await (waiting ?? second());
    assert.deepEqual([body, error], ['ok:second', undefined]);
  }
  const connections = server.events('request').map(({ connection }) => connection);
  assert.deepEqual(connections, [1, 2, 3, 4]);
});
