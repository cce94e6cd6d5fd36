'use strict';

// Everything of HTTP/1 that is not a plain request and a plain response: what the program sees is what
// it sees with http.Agent.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const {
  describeError,
  failure,
  get,
  httpServer,
  rawServer,
  replying,
  respond,
  sameAsNode,
  seeingAgent,
  until,
} = require('./helpers/lane-server');

const options = { timeout: 20_000 };

/** What a program sees of a response, and whether the connection was kept. */
async function outcome(t, Agent, requestOptions, count = 2) {
  const agent = seeingAgent(t, Agent);
  const log = [];
  for (let round = 0; round < count; round++) {
    const request = http.request({ host: '127.0.0.1', ...requestOptions, agent });
    request.on('information', ({ statusCode, headers }) => log.push(['information', statusCode, headers]));
    request.on('continue', () => log.push(['continue']));
    const closed = once(request, 'close').catch(() => {});
    const response = respond(request);
    request.end(requestOptions.body);
    try {
      const { statusCode, statusMessage, httpVersion, rawHeaders, trailers, body, complete } = await response;
      log.push({ statusCode, statusMessage, httpVersion, rawHeaders, trailers, body, complete });
    } catch (error) {
      // The reason of the parser; of other errors it is ours.
      const { code, reason } = error;
      log.push({ ...describeError(error), ...(code.startsWith('HPE_') && { reason }) });
    }
    log.push(request.reusedSocket);
    await closed;
    await new Promise(setImmediate);
  }
  return log;
}

/** Compares the outcome of a reply that comes whole, and of the same reply byte by byte. */
function reply(name, text, requestOptions = {}, { end = false } = {}) {
  test(name, options, async (t) => {
    const whole = await rawServer(t, (socket) => {
      if (!end) return replying(text)(socket);
      socket.once('data', () => socket.end(text, 'latin1'));
      return undefined;
    });
    await sameAsNode((Agent) => outcome(t, Agent, { ...requestOptions, port: whole.port }));
    const bytes = await rawServer(t, (socket) => {
      socket.setNoDelay(true);
      socket.once('data', async () => {
        for (const byte of text) {
          socket.write(byte, 'latin1');
          await new Promise(setImmediate);
          if (socket.destroyed) return;
        }
        if (end) socket.end();
      });
    });
    await sameAsNode((Agent) => outcome(t, Agent, { ...requestOptions, port: bytes.port }, 1));
  });
}

reply('a body with its length', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: 1\r\nx: 2\r\n\r\nbody');
reply(
  'a body in chunks',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n',
);
reply(
  'trailers of a response',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n1\r\nx\r\n0\r\nSum: 7\r\nAnd: 8\r\n\r\n',
);
reply('204', 'HTTP/1.1 204 No Content\r\n\r\n');
reply('304 with a length that means nothing', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n');
reply('HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n', { method: 'HEAD' });
reply('HEAD of a chunked response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', {
  method: 'HEAD',
});
reply('an empty body', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
reply(
  'a body that the end of the connection ends',
  'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  {},
  { end: true },
);
reply('Connection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody', {}, { end: true });
reply('HTTP/1.0', 'HTTP/1.0 200 OK\r\nX: y\r\n\r\nold', {}, { end: true });
reply('HTTP/1.0 that is kept', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold');
reply(
  '100 that nobody asked for',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
);
reply(
  '102 and 103 before the response',
  'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
);
reply(
  'bytes behind the response',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged',
);
reply('lines that end with LF alone', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n');
reply('a folded header', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n', {}, { end: true });
reply('a header with a byte of latin1', 'HTTP/1.1 200 Gr\xfc\xdf\r\nA: \xe9\r\nContent-Length: 0\r\n\r\n');
reply('no HTTP at all', 'SSH-2.0-OpenSSH_9.6\r\n', {}, { end: true });
reply('a wrong version', 'HTTP/9.9 200 OK\r\n\r\n', {}, { end: true });
reply('a wrong status', 'HTTP/1.1 2x0 OK\r\n\r\n', {}, { end: true });
reply('a wrong header', 'HTTP/1.1 200 OK\r\nno colon\r\n\r\n', {}, { end: true });
reply('a wrong length', 'HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n', {}, { end: true });
reply(
  'two lengths',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  {},
  { end: true },
);
reply(
  'a length beside chunks',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  {},
  { end: true },
);
reply('a wrong chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', {}, { end: true });
reply('an end within the head', 'HTTP/1.1 200 OK\r\nConte', {}, { end: true });
reply('an end within the body', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody', {}, { end: true });
reply(
  'an end within a chunk',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody',
  {},
  { end: true },
);
reply(
  'a header larger than maxHeaderSize',
  `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(300)}\r\nContent-Length: 0\r\n\r\n`,
  { maxHeaderSize: 200 },
  { end: true },
);
reply(
  'a header within maxHeaderSize',
  `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(300)}\r\nContent-Length: 0\r\n\r\n`,
  { maxHeaderSize: 400 },
);
reply(
  'a control byte in a header, with insecureHTTPParser',
  'HTTP/1.1 200 OK\r\nA: b\x08c\r\nContent-Length: 0\r\n\r\n',
  { insecureHTTPParser: true },
);
reply(
  'a control byte in a header',
  'HTTP/1.1 200 OK\r\nA: b\x08c\r\nContent-Length: 0\r\n\r\n',
  {},
  { end: true },
);

test('what is on the wire is what http.Agent sends', options, async (t) => {
  const server = await rawServer(t, (socket) => {
    let all = '';
    socket.on('data', (chunk) => {
      all += chunk.toString('latin1');
      const last = all.includes('chunked') ? /\r\n0\r\n(?:.+\r\n)*\r\n$/ : /END[^]*\r\n\r\n|\r\n\r\n[^]*END/;
      if (!last.test(all)) return;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${all.length}\r\n\r\n${all}`, 'latin1');
      all = '';
    });
  });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const where = { host: '127.0.0.1', port: server.port, agent };
    const log = [];
    const send = async (requestOptions, write) => {
      const request = http.request({ ...where, ...requestOptions });
      const response = respond(request);
      write(request);
      log.push((await response).body);
      await new Promise(setImmediate);
    };
    await send({ path: '/END', headers: { 'X-Case': 'A', b: ['1', '2'] } }, (request) => request.end());
    await send({ method: 'POST' }, (request) => request.end('ENDING'));
    await send({ method: 'POST' }, (request) => {
      request.write('first ');
      request.write(Buffer.from('secönd '));
      request.write('d8cc', 'hex');
      request.write('grüße', 'latin1');
      request.end('END');
    });
    await send({ method: 'PUT', headers: { 'Content-Length': 5 } }, (request) => {
      request.write('12');
      setImmediate(() => request.end('END'));
    });
    await send({ method: 'POST', headers: { Trailer: 'Sum' } }, (request) => {
      request.write('body');
      request.addTrailers({ Sum: 'END' });
      request.end();
    });
    await send({ method: 'DELETE', headers: ['X-Raw', '1', 'x-raw', 'END', 'Host', 'h'] }, (request) =>
      request.end(),
    );
    await send({ method: 'POST', headers: { Expect: 'END' } }, (request) => {
      request.flushHeaders();
      request.end();
    });
    return log;
  });
});

test('trailers of a request reach the server', options, async (t) => {
  const server = await httpServer(t, (req, res) => {
    req.resume().on('end', () => res.end(JSON.stringify(req.trailers)));
  });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const where = { host: '127.0.0.1', port: server.port, agent, method: 'POST' };
    const request = http.request({ ...where, headers: { Trailer: 'Sum', 'Transfer-Encoding': 'chunked' } });
    const response = respond(request);
    request.write('x');
    request.addTrailers({ Sum: '42' });
    request.end();
    return (await response).body;
  });
});

test('Expect: 100-continue, granted and refused', options, async (t) => {
  const server = await httpServer(t, (req, res) => {
    req.setEncoding('utf8');
    let body = '';
    req.on('data', (chunk) => (body += chunk)).on('end', () => res.end(`got ${body}`));
  });
  server.on('checkContinue', (req, res) => {
    if (req.url === '/no') return res.writeHead(417, { 'Content-Length': 0 }).end();
    res.writeContinue();
    return server.emit('request', req, res);
  });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const log = [];
    for (const url of ['/yes', '/no', '/yes']) {
      const headers = { Expect: '100-continue', 'Content-Length': 4 };
      const where = { host: '127.0.0.1', port: server.port, agent, method: 'POST', path: url };
      const request = http.request({ ...where, headers });
      const response = respond(request);
      request.on('continue', () => {
        log.push('continue');
        request.end('body');
      });
      request.flushHeaders();
      const { statusCode, body } = await response;
      log.push([statusCode, body]);
      if (!request.writableEnded) request.on('error', () => {}).destroy();
      await new Promise(setImmediate);
    }
    return log;
  });
});

test('an answer while the upload runs: whole, whatever becomes of the upload', options, async (t) => {
  const body = 'too much'.repeat(100);
  const answer = `HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  // It answers to the first bytes, then takes no more: the rest of the upload is answered by RST.
  const server = await rawServer(t, (socket) => {
    socket.once('data', () => {
      socket.pause();
      socket.end(answer);
      socket.on('finish', () => socket.destroy());
    });
  });
  for (let round = 0; round < 5; round++) {
    const agent = seeingAgent(t, require('..').HttpAgent);
    const request = http.request({ host: '127.0.0.1', port: server.port, agent, method: 'POST' });
    let response;
    const failed = [];
    request.on('error', (error) => failed.push(error.code));
    request.on('response', (message) => {
      response = { status: message.statusCode, body: '' };
      message.on('data', (chunk) => (response.body += chunk)).on('error', (error) => failed.push(error.code));
    });
    const closed = once(request, 'close').catch(() => once(request, 'close'));
    const piece = Buffer.alloc(64 * 1024);
    let left = 200;
    (function more() {
      while (left-- > 0 && !request.destroyed) if (!request.write(piece)) return request.once('drain', more);
      return request.end();
    })();
    await closed;
    assert.deepStrictEqual(response, { status: 413, body });
    for (const code of failed) assert.match(code, /^(EPIPE|ECONNRESET)$/);
  }
});

test('an answer while the upload runs, to an upload that ends well', options, async (t) => {
  const server = await rawServer(t, (socket) => {
    let received = 0;
    socket.on('data', (chunk) => {
      if (received === 0) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly');
      received += chunk.length;
    });
  });
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const request = http.request({ host: '127.0.0.1', port: server.port, agent, method: 'POST' });
    const response = respond(request);
    request.write('part');
    const { body, statusCode } = await response;
    // Not free before the request is complete: the rest would go into the next one.
    const before = Object.keys(agent.freeSockets).length;
    const free = once(agent, 'free');
    request.end('rest');
    await free;
    return [body, statusCode, before];
  });
});

test(
  'the next request of a kept connection is not answered by what lies behind the last response',
  options,
  async (t) => {
    const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged';
    let requests = 0;
    const server = await rawServer(t, (socket) => {
      socket.on('data', () => {
        const mine = ++requests;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${mine}`);
        if (mine === 1) setImmediate(() => socket.write(forged));
      });
    });
    const { HttpAgent } = require('..');
    const agent = seeingAgent(t, HttpAgent);
    const first = await get({ port: server.port, agent });
    assert.strictEqual(first.body, '1');
    const lane = first.usedSocket;
    if (!lane.destroyed) await once(lane, 'close');
    const second = await get({ port: server.port, agent });
    assert.strictEqual(second.body, '2');
    assert.notStrictEqual(second.usedSocket, lane);
  },
);

test('a request that is answered by nothing but an end', options, async (t) => {
  const server = await rawServer(t, (socket) => socket.once('data', () => socket.end()));
  await sameAsNode(async (Agent) => {
    const request = http.get({ host: '127.0.0.1', port: server.port, agent: seeingAgent(t, Agent) });
    return describeError(await failure(request));
  });
});

test('half open: the server ends its side, and still reads', options, async (t) => {
  const received = [];
  const server = await rawServer(
    t,
    (socket) => {
      let all = '';
      socket.on('data', (chunk) => {
        if (all === '') socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
        all += chunk.toString('latin1');
      });
      socket.on('end', () => received.push(all.split('\r\n\r\n')[1]));
      socket.on('error', () => received.push('error'));
    },
    { allowHalfOpen: true },
  );
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const where = { host: '127.0.0.1', port: server.port, agent, method: 'POST', allowHalfOpen: true };
    const request = http.request({ ...where, headers: { 'Content-Length': 8 } });
    const response = respond(request);
    request.write('1234');
    const { body } = await response;
    request.on('error', () => {});
    request.end('5678');
    await once(request, 'close');
    return [body, request.writableFinished];
  });
  await until(() => received.length === 2);
  assert.strictEqual(received[0], received[1]);
});
