'use strict';

// A process that can start no more threads: its requests are answered as with http.Agent.

const assert = require('node:assert');
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test } = require('node:test');
const { httpServer } = require('./helpers/lane-server');

const ROOT = path.join(__dirname, '..');
/** Of whom nobody else has threads. */
const UID = 64_000 + (process.pid % 1000);

/** Why it cannot be tried: the limit is one of a user, and does not hold for root. */
function whyNot() {
  if (process.platform !== 'linux') return 'only Linux can take threads away';
  if (process.getuid() !== 0) return 'a user of its own needs root';
  try {
    execFileSync('prlimit', ['--nproc=1:', 'true'], { uid: UID, stdio: 'ignore' });
    return false;
  } catch {
    return 'no prlimit, or no leave to use it';
  }
}

const options = { timeout: 60_000, skip: whyNot() };

/**
 * Runs a script in a process that can start no threads after its `await limit()`, until its `await lift()`. In scope:
 * `agent`, and `outcome(host)` of a request.
 */
async function withoutThreads(port, script) {
  const prelude = `
    const http = require('http');
    const { HttpAgent } = require(${JSON.stringify(ROOT)});
    const agent = new HttpAgent({ keepAlive: true });
    const warnings = [];
    process.on('warning', ({ code }) => warnings.push(code));
    const limit = async () => {
      // Node needs its threads, and aborts if it gets none.
      await require('fs').promises.stat('/');
      process.setuid(${UID});
    };
    const lift = () => new Promise((resolve) => {
      process.send('lift');
      process.once('message', resolve);
    });
    const outcome = (host) => new Promise((resolve) => {
      const request = http.get({ host, port: ${port}, agent, family: 4 }, (response) => {
        const { statusCode, socket } = response;
        response.resume().on('end', () => resolve([statusCode, socket.constructor.name]));
      });
      request.on('error', (error) => resolve(error.code));
    });`;
  const body = `${prelude}\n(async () => {${script}})();`;
  const child = spawn('prlimit', ['--nproc=1:', process.execPath, '--no-warnings', '-e', body], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let told;
  child.on('message', (message) => {
    if (message !== 'lift') told = message;
    else {
      execFileSync('prlimit', ['--pid', child.pid, '--nproc=4096:'], { uid: UID });
      child.send('lifted');
    }
  });
  await once(child, 'close');
  return told;
}

test('without its thread connections are Node’s own, and it is tried again', options, async (t) => {
  const { port } = await httpServer(t, (request, response) => response.end());
  const told = await withoutThreads(
    port,
    `await limit();
     const told = [await outcome('127.0.0.1'), await outcome('localhost')];
     agent.destroy();
     await lift();
     told.push(await outcome('127.0.0.1'));
     process.send([...told, warnings], () => process.exit());`,
  );
  assert.deepStrictEqual(told, [[200, 'Socket'], [200, 'Socket'], [200, 'Lane'], ['OFFLOOP_NODE_SOCKET']]);
});

test('a name is resolved without a thread for that', options, async (t) => {
  const { port } = await httpServer(t, (request, response) => response.end());
  const told = await withoutThreads(
    port,
    `await outcome('127.0.0.1');
     await limit();
     const told = [await outcome('localhost'), await outcome('no-such-name.invalid')];
     agent.destroy();
     await lift();
     told.push(await outcome('localhost'));
     process.send(told, () => process.exit());`,
  );
  assert.deepStrictEqual(told, [[200, 'Lane'], 'ENOTFOUND', [200, 'Lane']]);
});
