'use strict';

// Under Node's permission model a program without --allow-net connects to nothing, also not by an addon
// that it was allowed to load.

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { atEnd, rawServer, replying, socketPath } = require('./helpers/lane-server');

const options = {
  timeout: 30_000,
  skip:
    !process.allowedNodeEnvironmentFlags.has('--allow-net') &&
    'the permission model of this Node has no --allow-net',
};
const ROOT = path.join(__dirname, '..');
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Runs requests in a process with permissions; what became of each. */
async function run(flags, requests, more = '') {
  const script = `
    const http = require('http');
    const { HttpAgent } = require(${JSON.stringify(ROOT)});
    const agent = new HttpAgent();
    (async () => {
      const log = [];
      for (const where of ${JSON.stringify(requests)}) {
        log.push(await new Promise((resolve) => {
          const fail = (error) => resolve(error.code);
          try {
            http.get({ ...where, agent }, (res) => res.resume().on('end', () => resolve(res.statusCode))).on('error', fail);
          } catch (error) { fail(error); }
        }));
        await new Promise(setImmediate); // The connection is free by then.
        ${more}
      }
      console.log(JSON.stringify(log));
      agent.destroy();
    })();`;
  const args = [
    '--permission',
    '--allow-fs-read=*',
    '--allow-addons',
    '--no-warnings',
    ...flags,
    '-e',
    script,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  return JSON.parse(stdout);
}

async function counting(t, where) {
  const sockets = [];
  const server = await rawServer(t, (socket) => (sockets.push(socket), replying(ANSWER)(socket)), {}, where);
  atEnd(t, () => sockets.length);
  return { port: server.port, sockets };
}

test('without --allow-net nothing is connected to', options, async (t) => {
  const { port, sockets } = await counting(t);
  const local = process.platform === 'win32' ? undefined : socketPath(t);
  const unix = local && (await counting(t, { path: local }));
  const ways = [
    { host: '127.0.0.1', port },
    { host: 'localhost', family: 4, port },
  ];
  if (local) ways.push({ socketPath: local });
  const codes = await run([], ways);
  for (const code of codes.slice(0, 2)) assert.strictEqual(code, 'ERR_ACCESS_DENIED');
  assert.strictEqual(sockets.length, 0);
  // Node lets Unix sockets through or not, by its version; whatever it does, so do we.
  if (unix && codes[2] === 'ERR_ACCESS_DENIED') assert.strictEqual(unix.sockets.length, 0);
});

test('with --allow-net it works as ever', options, async (t) => {
  const { port, sockets } = await counting(t);
  const where = { host: 'localhost', family: 4, port };
  assert.deepStrictEqual(
    await run(['--allow-net'], [where, where, { host: '127.0.0.1', port }]),
    [200, 200, 200],
  );
  assert.strictEqual(sockets.length, 2);
});

test('a permission that is dropped holds for the connections after it', options, async (t) => {
  const { port, sockets } = await counting(t);
  const where = { host: '127.0.0.1', port };
  const drops = `if (process.permission.drop) process.permission.drop('net'); else process.exit(console.log('null') ?? 0);
    await new Promise(setImmediate);
    agent.destroy();`;
  const log = await run(['--allow-net'], [where, where], drops);
  if (log === null) return t.skip('this Node cannot drop a permission');
  assert.deepStrictEqual(log, [200, 'ERR_ACCESS_DENIED']);
  assert.strictEqual(sockets.length, 1);
  return undefined;
});
