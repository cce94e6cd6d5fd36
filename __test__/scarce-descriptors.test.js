'use strict';

// A process that can open no more files: its requests fail as with http.Agent, and go on once it can.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test } = require('node:test');
const { httpServer } = require('./helpers/lane-server');

const options = { timeout: 60_000, skip: process.platform === 'win32' && 'descriptors have no limit there' };
const ROOT = path.join(__dirname, '..');

/**
 * Runs a script in a process that may open few files, with the agent of this name; what it passes to `tell` comes
 * back. In scope: `take(left)` takes all descriptors but these, `giveBack()`, and `outcome(options)` of a request.
 */
async function withFewFiles(name, port, script) {
  const prelude = `
    const fs = require('fs');
    const http = require('http');
    const { HttpAgent } = require(${JSON.stringify(ROOT)});
    const agent = new (${name})({ keepAlive: true });
    const taken = [];
    function take(left) {
      try {
        for (;;) taken.push(fs.openSync('/dev/null'));
      } catch (error) {
        if (error.code !== 'EMFILE') throw error;
      }
      while (left-- > 0) fs.closeSync(taken.pop());
    }
    function giveBack() {
      while (taken.length > 0) fs.closeSync(taken.pop());
    }
    function describe({ name, message, code, errno, syscall, hostname, address, port, localAddress, localPort, errors }) {
      errors = errors?.map(describe);
      return { name, message, code, errno, syscall, hostname, address, port, localAddress, localPort, errors };
    }
    function outcome(options) {
      return new Promise((resolve) => {
        const request = http.get({ port: ${port}, agent, ...options }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode));
        });
        request.on('error', (error) => resolve(describe(error)));
      });
    }
    function tell(told) {
      giveBack();
      fs.writeSync(1, JSON.stringify(told));
      process.exit();
    }`;
  const body = `${prelude}\n(async () => {${script}})();`;
  const shell = 'ulimit -n 80 && exec "$0" --no-warnings "$@"';
  const child = spawn('sh', ['-c', shell, process.execPath, '-e', body], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  child.stdout.on('data', (data) => (told += data));
  await once(child, 'close');
  return JSON.parse(told);
}

async function bothAlike(t, script) {
  const server = await httpServer(t, (request, response) => response.end());
  // A connection that it closes would give a descriptor back.
  server.keepAliveTimeout = 0;
  const { port } = server;
  const expected = await withFewFiles('http.Agent', port, script);
  assert.deepStrictEqual(await withFewFiles('HttpAgent', port, script), expected);
  return expected;
}

for (const left of [0, 1, 2]) {
  test(`the first request, with ${left} descriptors left, and the next one`, options, async (t) => {
    const [first, next] = await bothAlike(
      t,
      `take(${left});
       const first = await outcome({ host: '127.0.0.1' });
       giveBack();
       tell([first, await outcome({ host: '127.0.0.1' })]);`,
    );
    assert.strictEqual(first.code ?? first, left < 2 ? 'EMFILE' : 200);
    assert.strictEqual(next, 200);
  });
}

test('the status needs no thread', options, async (t) => {
  const { port } = await httpServer(t, (request, response) => response.end());
  const told = await withFewFiles(
    'HttpAgent',
    port,
    `take(0);
     await outcome({ host: '127.0.0.1' });
     tell(agent.stats());`,
  );
  assert.deepStrictEqual(told, {});
});

test('once the thread runs errors are those of Node too', options, async (t) => {
  const told = await bothAlike(
    t,
    `// What a lookup needs of files is read now.
     await outcome({ host: 'localhost', family: 4 });
     take(0);
     const lookup = (name, options, callback) =>
       setImmediate(callback, null, ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })));
     const told = [];
     for (const options of [
       { host: '127.0.0.1' },
       { host: '::1' },
       { host: '127.0.0.1', localAddress: '127.0.0.2' },
       { host: '127.0.0.1', localPort: 45678 },
       { host: 'two.test', lookup, autoSelectFamily: true },
       { socketPath: '/nowhere/at.all' },
     ]) told.push(await outcome(options));
     giveBack();
     told.push(await outcome({ host: '127.0.0.1' }));
     tell(told);`,
  );
  const messages = told.slice(0, -1).map(({ message, errors }) => message || errors[1].message);
  for (const message of messages) assert.match(message, /EMFILE/);
  assert.strictEqual(told.at(-1), 200);
});
