'use strict';

// Error cannot be changed there, nor what it says of a stack, by which Node's functions are told from a program's.

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');

const root = path.join(__dirname, '..');
const patience = { timeout: 30_000 };

/** What a process says that has frozen intrinsics and sends two requests: `{ opened, warnings, ... }`. */
async function run(t, before = '') {
  const server = http.createServer((_, response) => response.end('answer'));
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const program = `
    const http = require('http');
    const said = { warnings: [], bodies: [], calls: 0 };
    process.on('warning', ({ code }) => code && said.warnings.push(code));
    ${before}
    const { HttpAgent } = require(${JSON.stringify(root)});
    const agent = new HttpAgent();
    const options = { host: '127.0.0.1', port: ${server.address().port}, agent };
    const send = (left) => {
      http.get(options, (response) => {
        response.on('data', (data) => said.bodies.push(String(data)));
        response.on('close', () => {
          if (left > 1) return setImmediate(send, left - 1);
          said.opened = Object.values(agent.stats()).map(({ opened }) => opened);
          console.log(JSON.stringify(said));
          process.exit();
        });
      });
    };
    send(2);`;
  const args = ['--frozen-intrinsics', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  return JSON.parse(stdout);
}

test('with frozen intrinsics connections are off the loop', patience, async (t) => {
  const { opened, warnings, bodies } = await run(t);
  assert.deepStrictEqual(bodies, ['answer', 'answer']);
  assert.deepStrictEqual(warnings, []);
  assert.deepStrictEqual(opened, [1]);
});

test('and what has been replaced has a say', patience, async (t) => {
  const { calls, warnings, bodies } = await run(
    t,
    `const { connect } = require('net').Socket.prototype;
    require('net').Socket.prototype.connect = function (...args) {
      said.calls++;
      return Reflect.apply(connect, this, args);
    };`,
  );
  assert.deepStrictEqual(bodies, ['answer', 'answer']);
  assert.deepStrictEqual(warnings, ['OFFLOOP_NODE_SOCKET']);
  assert.strictEqual(calls, 1);
});
