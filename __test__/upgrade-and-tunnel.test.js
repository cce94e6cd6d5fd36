'use strict';

// After 101, and after CONNECT, the lane is the program's: a Duplex of bytes, out of the agent's books.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const tls = require('node:tls');
const { HttpAgent } = require('..');
const { blockUntil, send, startServer, warm } = require('./helpers/blocked');
const certificate = require('./helpers/certificate');
const {
  atEnd,
  get,
  rawServer,
  replying,
  sameAsNode,
  seeingAgent,
  socketPath,
} = require('./helpers/lane-server');

const options = { timeout: 20_000 };
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';

/** Reads until `text` has come. */
async function readUntil(socket, text) {
  let all = '';
  for (;;) {
    const chunk = socket.read();
    if (chunk === null) await once(socket, 'readable');
    else all += chunk.toString();
    if (all.endsWith(text)) return all;
  }
}

/** An echo behind the switch; the first bytes come with the head of the response. */
function echoServer(t) {
  return rawServer(
    t,
    (socket) => {
      let head = '';
      socket.on('data', function onHead(chunk) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end === -1) return;
        socket.off('data', onHead);
        socket.write(`${SWITCH}early`);
        socket.write(head.slice(end + 4), 'latin1');
        socket.pipe(socket);
      });
    },
    { allowHalfOpen: true },
  );
}

test('upgrade: head bytes, an echo both ways, and the end', options, async (t) => {
  const server = await echoServer(t);
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
    const request = http.get({ host: '127.0.0.1', port: server.port, agent, headers });
    const [response, socket, head] = await once(request, 'upgrade');
    const log = [response.statusCode, response.headers, agent.totalSocketCount, Object.keys(agent.sockets)];
    for (const event of ['free', 'agentRemove', 'data', 'end', 'error', 'drain', 'timeout', 'close']) {
      log.push([event, socket.listenerCount(event)]);
    }
    if (head.length > 0) socket.unshift(head);
    log.push(await readUntil(socket, 'early'));
    const frame = Buffer.alloc(300_000, 'frame');
    socket.write(frame);
    socket.write('|');
    log.push((await readUntil(socket, '|')).length);
    const closed = once(socket, 'close');
    socket.end('last');
    let rest = '';
    for await (const chunk of socket) rest += chunk;
    log.push(rest, await closed, Object.keys(agent.freeSockets));
    return log;
  });
});

test(
  'upgrade of a socket on which the program listens for "free", as pools on top of the agent do',
  options,
  async (t) => {
    const server = await echoServer(t);
    await sameAsNode(async (Agent) => {
      const agent = seeingAgent(t, Agent);
      const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
      const request = http.get({ host: '127.0.0.1', port: server.port, agent, headers });
      let frees = 0;
      request.on('socket', (socket) => socket.on('free', () => frees++));
      const [, socket, head] = await once(request, 'upgrade');
      if (head.length > 0) socket.unshift(head);
      const log = [await readUntil(socket, 'early')];
      socket.end('last');
      let rest = '';
      for await (const chunk of socket) rest += chunk;
      log.push(rest, frees);
      return log;
    });
  },
);

test('upgrade that is refused is an ordinary response', options, async (t) => {
  const server = await rawServer(t, replying('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno'));
  await sameAsNode(async (Agent) => {
    const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
    const { statusCode, body } = await get({ port: server.port, agent: seeingAgent(t, Agent), headers });
    return [statusCode, body];
  });
});

test('upgrade that nobody listens for', options, async (t) => {
  const server = await echoServer(t);
  await sameAsNode(async (Agent) => {
    const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
    const agent = seeingAgent(t, Agent);
    const request = http.get({ host: '127.0.0.1', port: server.port, agent, headers });
    const log = [];
    request.on('error', (error) => log.push(error.code));
    request.on('response', (response) => log.push(response.statusCode));
    await once(request, 'close');
    return log;
  });
});

/** A proxy that connects to wherever `port` is. */
function proxy(t, port) {
  return rawServer(
    t,
    (socket) => {
      socket.once('data', (head) => {
        assert.match(head.toString(), /^CONNECT target\.test:443 HTTP\/1\.1\r\n/);
        const onward = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => {
          socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
          socket.pipe(onward).pipe(socket);
        });
        onward.on('error', () => socket.destroy());
        socket.on('close', () => onward.destroy());
      });
    },
    { allowHalfOpen: true },
  );
}

test('CONNECT: a tunnel of bytes', options, async (t) => {
  const target = await rawServer(t, (socket) => socket.pipe(socket), { allowHalfOpen: true });
  const { port } = await proxy(t, target.port);
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const request = http.request({
      host: '127.0.0.1',
      port,
      agent,
      method: 'CONNECT',
      path: 'target.test:443',
    });
    request.end();
    const [response, socket, head] = await once(request, 'connect');
    const log = [response.statusCode, head.length, agent.totalSocketCount, socket.listenerCount('free')];
    socket.end('through the tunnel');
    let all = '';
    for await (const chunk of socket) all += chunk;
    return [...log, all];
  });
});

test('CONNECT: tls.connect over the lane', options, async (t) => {
  const folder = path.dirname(socketPath(t));
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ];
  const names = ['-subj', '/CN=target.test', '-addext', 'subjectAltName=DNS:target.test'];
  try {
    execFileSync('openssl', [...args, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  } catch (error) {
    return t.skip(`no certificate without openssl: ${error.code}`);
  }
  const pems = { key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
  const target = tls.createServer(pems, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  target.listen(0, '127.0.0.1');
  await once(target, 'listening');
  atEnd(t, () => target.close());
  const { port } = await proxy(t, target.address().port);
  return sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const request = http.request({
      host: '127.0.0.1',
      port,
      agent,
      method: 'CONNECT',
      path: 'target.test:443',
    });
    request.end();
    const [, socket] = await once(request, 'connect');
    const secure = tls.connect({ socket, servername: 'target.test', ca: pems.cert });
    await once(secure, 'secureConnect');
    const log = [secure.authorized, secure.getPeerCertificate().subject.CN];
    const bytes = Buffer.alloc(400_000, 'secret');
    secure.write(bytes);
    let received = 0;
    for await (const chunk of secure) {
      received += chunk.length;
      if (received === bytes.length) break;
    }
    return [...log, received];
  });
});

test('CONNECT: tls.connect over the lane, ended by the target', options, async (t) => {
  const target = tls.createServer(certificate, (socket) => {
    socket.on('error', () => {});
    socket.end('all of it');
  });
  target.listen(0, '127.0.0.1');
  await once(target, 'listening');
  atEnd(t, () => target.close());
  const { port } = await proxy(t, target.address().port);
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const where = { host: '127.0.0.1', port };
    const request = http.request({ ...where, agent, method: 'CONNECT', path: 'target.test:443' });
    request.end();
    const [, socket] = await once(request, 'connect');
    const secure = tls.connect({ socket, servername: 'localhost', ca: certificate.cert });
    const events = [];
    for (const name of ['data', 'end', 'error'])
      secure.on(name, (value) => events.push([name, String(value)]));
    // Its own end follows that of the target, over a lane that has seen that end.
    await new Promise((resolve) => secure.on('close', resolve));
    return events;
  });
});

test('CONNECT that is refused still gives the socket', options, async (t) => {
  const server = await rawServer(t, replying('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope'));
  await sameAsNode(async (Agent) => {
    const agent = seeingAgent(t, Agent);
    const where = { host: '127.0.0.1', port: server.port };
    const request = http.request({ ...where, agent, method: 'CONNECT', path: 'target.test:443' });
    request.end();
    const [response, socket, head] = await once(request, 'connect');
    socket.destroy();
    return [response.statusCode, head.toString()];
  });
});

test('a socket of an upgrade outlives its agent', options, async (t) => {
  const server = await echoServer(t);
  await sameAsNode(async (Agent) => {
    const agent = new Agent({ keepAlive: true });
    const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
    const request = http.get({ host: '127.0.0.1', port: server.port, agent, headers });
    const [, socket, head] = await once(request, 'upgrade');
    if (head.length > 0) socket.unshift(head);
    await readUntil(socket, 'early');
    agent.destroy();
    socket.write('still here');
    const text = await readUntil(socket, 'here');
    socket.destroy();
    return text;
  });
});

test('an upgraded socket is never exchanged or sent again', options, async (t) => {
  let connections = 0;
  const server = await rawServer(t, (socket) => {
    connections++;
    let requests = 0;
    socket.on('data', () => {
      if (++requests === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else if (requests === 2) socket.write(SWITCH);
      else socket.resetAndDestroy();
    });
  });
  const agent = seeingAgent(t, HttpAgent);
  await get({ port: server.port, agent });
  await new Promise(setImmediate);
  const headers = { Connection: 'Upgrade', Upgrade: 'echo' };
  const request = http.get({ host: '127.0.0.1', port: server.port, agent, headers });
  const [, socket] = await once(request, 'upgrade');
  assert.strictEqual(request.reusedSocket, true);
  socket.resume().write('frame');
  const [error] = await once(socket, 'error');
  assert.strictEqual(error.code, 'ECONNRESET');
  assert.strictEqual(connections, 1);
});

/** An agent, and one such as those for proxies: its sockets are tunnels, which the first has connected. */
function tunnelling(t, Base, { port }) {
  const inner = new HttpAgent();
  class Outer extends Base {
    createConnection(options, callback) {
      const headers = { 'x-id': 'tunnel', 'x-do': 'ok' };
      http
        .request({ agent: inner, host: '127.0.0.1', port, method: 'CONNECT', path: 'target:80', headers })
        .once('connect', (response, socket) => callback(null, socket))
        .end();
    }
  }
  const outer = new Outer({ keepAlive: true });
  atEnd(t, () => [inner, outer].forEach((agent) => agent.destroy()));
  return { inner, outer };
}

for (const Base of [http.Agent, HttpAgent]) {
  const name = `tunnels as the sockets of ${Base === HttpAgent ? 'HttpAgent' : 'http.Agent'}`;

  test(`${name}: no request for the target goes to the proxy`, options, async (t) => {
    for (const method of ['GET', 'POST']) {
      const server = await startServer(t);
      const { outer } = tunnelling(t, Base, server);
      await warm(outer, server);
      await warm(outer, server);
      assert.ok(server.events('request').every(({ connection }) => connection === 1));
      server.post({ end: 'close' });
      // Its end is not read on the loop before the request is made.
      blockUntil(() => server.events('closed').length === 1);
      const body = method === 'POST' ? 'body' : undefined;
      const { error } = await send(outer, server, { id: 'it', method, body });
      assert.strictEqual(error?.code, 'ECONNRESET');
      assert.strictEqual(server.arrivals('it'), 0);
    }
  });

  test(`${name}: no request for the proxy goes through one`, options, async (t) => {
    const server = await startServer(t);
    const { inner, outer } = tunnelling(t, Base, server);
    await warm(outer, server);
    await warm(inner, server, 1, { then: 'close/20' });
    blockUntil(() => server.events('closed').length === 1);
    const { status, request } = await send(inner, server, { id: 'it', method: 'POST', body: 'body' });
    assert.strictEqual(status, 200);
    // The first has become the tunnel, the second is closed.
    assert.strictEqual(server.events('request', 'it')[0].connection, 3);
    const [[tunnel]] = Object.values(outer.freeSockets);
    assert.strictEqual(tunnel.destroyed, false);
    assert.notStrictEqual(request.socket, tunnel);
  });
}
