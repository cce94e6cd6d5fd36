'use strict';

const assert = require('node:assert');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { after, before, describe, it } = require('node:test');

const { Child } = require('../bench/child.js');
const { ARRIVAL, PORTS, SMALL } = require('../bench/server/content.js');

const microseconds = () => Number(process.hrtime.bigint() / 1000n);

describe("the benchmark's own server", () => {
  let server;
  let ports;
  let agent;
  before(async () => {
    server = new Child(path.join(__dirname, '..', 'bench', 'server', 'main.js'));
    ({ ports } = await server.ask('listen', ['own']));
    agent = new http.Agent({ keepAlive: true });
  });
  after(async () => {
    agent?.destroy();
    await server.stop();
  });

  const request = (options, body) =>
    new Promise((resolve, reject) => {
      const req = http.request({ host: '127.0.0.1', port: ports[0], agent, ...options }, async (res) => {
        const chunks = await res.toArray();
        resolve({ status: res.statusCode, text: Buffer.concat(chunks).toString() });
      });
      req.on('error', reject);
      req.end(body);
    });

  it('answers on every port', async () => {
    assert.strictEqual(new Set(ports).size, PORTS);
    const answers = await Promise.all(ports.map((port) => request({ port, path: '/' })));
    for (const { text } of answers) assert.strictEqual(text, SMALL);
  });

  it('has bodies of any size, and keeps the connection', async () => {
    for (const size of [0, 1, 65536, 3_000_000]) {
      assert.strictEqual((await request({ path: `/bytes/${size}` })).text.length, size);
    }
    assert.strictEqual(Object.values(agent.freeSockets).flat().length, Object.keys(agent.freeSockets).length);
  });

  it('does not answer before it has read the whole body', async () => {
    const body = 'x'.repeat(300_000);
    const socket = net.connect(ports[0], '127.0.0.1');
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(1)}`);
    let answered = false;
    socket.once('data', () => {
      answered = true;
    });
    // All but one byte has been sent, and it has had time for many other answers.
    for (let i = 0; i < 50; i++) await request({ path: '/' });
    assert.strictEqual(answered, false);
    await new Promise((resolve) => {
      socket.once('data', resolve);
      socket.write(body[0]);
    });
    socket.destroy();
  });

  it('tells when the request came, by the clock that this process reads', async (t) => {
    if (process.platform !== 'linux') {
      t.skip('a shared clock is read only on Linux');
      return;
    }
    const before = microseconds();
    const { status, text } = await request({ path: '/arrival' });
    const after = microseconds();
    assert.strictEqual(status, 200);
    assert.strictEqual(text.length, ARRIVAL);
    assert.ok(before <= Number(text) && Number(text) <= after, `${before} <= ${text} <= ${after}`);
  });
});
