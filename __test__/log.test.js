'use strict';

// OFFLOOP_LOG: the native side writes to stderr by itself, also while JavaScript is blocked.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { startServer } = require('./helpers/blocked');

const patience = { timeout: 30_000 };

/** Runs a script with these variables; `seen()` is what it has written to stderr so far. */
function run(t, script, variables) {
  const env = { ...process.env, ...variables };
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(process.execPath, ['-e', script], { cwd: path.join(__dirname, '..'), env });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  child.seen = () => text;
  /** Resolves when stderr has what the pattern says. */
  child.writes = async (pattern) => {
    while (!pattern.test(text)) await once(child.stderr, 'data');
    return pattern.exec(text);
  };
  return child;
}

const client = (port, more = '') => `
  const { block, blockUntil, send, warm } = require('./__test__/helpers/blocked');
  const { HttpAgent } = require('.');
  const agent = new HttpAgent();
  const server = { port: ${port} };
  ${more}`;

test('what happens during a block is seen during it', patience, async (t) => {
  const server = await startServer(t);
  const flag = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-')), 'flag');
  t.after(() => fs.rmSync(path.dirname(flag), { recursive: true }));
  const child = run(
    t,
    client(
      server.port,
      `warm(agent, server, 1, { then: 'close/30' }).then(() => {
        const released = blockUntil(() => require('fs').existsSync(${JSON.stringify(flag)}));
        process.exit(released ? 0 : 1);
      });`,
    ),
    { OFFLOOP_LOG: 'debug' },
  );
  const exited = once(child, 'exit');
  // It blocks until this line has been read here.
  await child.writes(/closed .*reason="peer-closed-idle"/);
  assert.strictEqual(child.exitCode, null);
  fs.writeFileSync(flag, '');
  assert.deepStrictEqual(await exited, [0, null]);
  assert.match(child.seen(), new RegExp(`connecting .*to=127\\.0\\.0\\.1:${server.port}`));
  assert.match(child.seen(), /connected connection=/);
});

test('a request that is sent again is logged with its rule', patience, async (t) => {
  const server = await startServer(t);
  const script = client(
    server.port,
    `warm(agent, server)
      .then(() => send(agent, server, { id: 'again', act: 'close,ok' }))
      .then(() => process.exit());`,
  );
  const child = run(t, script, { OFFLOOP_LOG: 'offloop=info' });
  await once(child, 'close');
  assert.match(child.seen(), /INFO .*goes to another connection .*rule="R4" reason="peer-fin"/);
  assert.doesNotMatch(child.seen(), /DEBUG/);
});

test('no path, header or body is logged', patience, async (t) => {
  const server = await startServer(t);
  const script = client(
    server.port,
    `warm(agent, server)
      .then(() => send(agent, server, {
        id: 'confidential-id', act: 'close,ok', path: '/confidential-path?confidential-query', method: 'PUT',
        body: 'confidential-body', headers: { authorization: 'confidential-key', cookie: 'confidential-cookie' },
      }))
      .then(() => agent.destroy())
      .then(() => setTimeout(process.exit, 50));`,
  );
  const child = run(t, script, { OFFLOOP_LOG: 'trace' });
  await once(child, 'close');
  assert.match(child.seen(), /rule="R4"/);
  assert.doesNotMatch(child.seen(), /confidential/);
});

test('a filter that is none is warned of, once', patience, async (t) => {
  const server = await startServer(t);
  const script = client(
    server.port,
    `warm(agent, server).then(() => {
      const { Worker } = require('worker_threads');
      new Worker('const { HttpAgent } = require("."); const http = require("http");' +
        'http.get({ port: ${server.port}, agent: new HttpAgent(), headers: { "x-id": "w" } }, () => process.exit());', { eval: true })
        .on('exit', () => setImmediate(process.exit));
    });`,
  );
  const child = run(t, script, { OFFLOOP_LOG: 'offloop=loud' });
  await once(child, 'close');
  assert.strictEqual(child.seen().match(/OffloopWarning/g)?.length, 1, child.seen());
  assert.match(child.seen(), /\[OFFLOOP_LOG\] OffloopWarning: nothing is logged: OFFLOOP_LOG=offloop=loud/);
});

test('without it nothing is written', patience, async (t) => {
  const server = await startServer(t);
  const child = run(t, client(server.port, 'warm(agent, server).then(() => process.exit());'), {
    OFFLOOP_LOG: '',
  });
  await once(child, 'close');
  assert.strictEqual(child.seen(), '');
});

test('a stderr that nobody reads holds nothing up', patience, async (t) => {
  const server = await startServer(t);
  const script = client(
    server.port,
    `(async () => {
      for (let i = 0; i < 1500; i++) await send(agent, server, { id: 'x' + i });
      console.log('done');
      process.exit();
    })();`,
  );
  const env = { ...process.env, OFFLOOP_LOG: 'debug' };
  delete env.NODE_TEST_CONTEXT;
  const child = spawn(process.execPath, ['-e', script], { cwd: path.join(__dirname, '..'), env });
  t.after(() => child.kill('SIGKILL'));
  // The pipe of stderr is full after 64 KiB.
  child.stderr.pause();
  const [text] = await once(child.stdout.setEncoding('utf8'), 'data');
  assert.strictEqual(text.trim(), 'done');
});
