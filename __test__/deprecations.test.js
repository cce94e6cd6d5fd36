'use strict';

// With --throw-deprecation whatever Node deprecates, also what it only means to (--pending-deprecation), ends the
// program that uses it. Programs run their tests so; what is under the package may not end them.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const https = require('node:https');
const path = require('node:path');
const { test } = require('node:test');
const certificate = require('./helpers/certificate');
const { httpServer } = require('./helpers/lane-server');

const ROOT = path.join(__dirname, '..');

/** Sends the same requests through both agents, one behind the other and side by side. */
const PROGRAM = `
const http = require('http');
const https = require('https');
const { HttpAgent, HttpsAgent } = require(${JSON.stringify(ROOT)});
const [port, securePort, ca] = JSON.parse(process.argv[1]);
const answer = (request, body) => new Promise((resolve, reject) => {
  request.on('error', reject).on('response', (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (data) => (text += data));
    response.on('end', () => setImmediate(resolve, text));
  });
  request.end(body);
});
async function run(module, agent, port) {
  const send = (path, more, body) =>
    answer(module.request({ host: '127.0.0.1', port, path, agent, ...more }), body);
  const answers = [await send('/new'), await send('/reused')];
  answers.push(await send('/large', { method: 'POST' }, Buffer.alloc(300000)));
  answers.push(...(await Promise.all(['/1', '/2', '/3'].map((path) => send(path)))));
  answers.push(await send('/raw', { headers: { expect: '100-continue' }, method: 'PUT' }, 'body'));
  agent.destroy();
  return answers.join();
}
(async () => {
  console.log(await run(http, new HttpAgent({ maxSockets: 2 }), port));
  console.log(await run(https, new HttpsAgent({ ca, checkServerIdentity: () => undefined }), securePort));
})();`;

test('nothing that Node deprecates is used', { timeout: 30_000 }, async (t) => {
  const echo = (request, response) => {
    request.resume().on('end', () => response.end(request.url));
  };
  const { port } = await httpServer(t, echo);
  const secure = https.createServer(certificate, echo);
  t.after(() => secure.close());
  await once(secure.listen(0, '127.0.0.1'), 'listening');
  const parameters = JSON.stringify([port, secure.address().port, certificate.cert]);
  const child = spawn(
    process.execPath,
    ['--pending-deprecation', '--throw-deprecation', '-e', PROGRAM, parameters],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  t.after(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (data) => (out += data));
  child.stderr.on('data', (data) => (out += data));
  const [code] = await once(child, 'close');
  const line = '/new,/reused,/large,/1,/2,/3,/raw';
  assert.deepEqual({ code, out: out.trim() }, { code: 0, out: `${line}\n${line}` });
});
