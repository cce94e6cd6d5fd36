'use strict';

// An addon may let the event loop turn within a handler, and packages do so to wait for something. What comes meanwhile
// is handed over then, and nothing is lost of what comes after.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');

const { HttpAgent } = require('..');
const { httpServer } = require('./helpers/lane-server');

/** ms that a handler waits at most. */
const LIMIT = 10_000;
const timeout = 60_000;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'offloop-nested-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const addon = path.join(folder, 'nested-loop.node');
const source = path.join(__dirname, 'helpers', 'nested-loop.c');
const undefinedSymbols = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
const built = spawnSync('cc', ['-shared', '-fPIC', ...undefinedSymbols, '-o', addon, source]);
const skip = built.status !== 0 && 'there is no C compiler';
const run = skip ? undefined : require(addon).run;

/** Turns the loop until that is so. */
function waitFor(isSo) {
  // The server of these tests is in this loop, too: its timers and the client's turn with it.
  for (const start = Date.now(); !isSo() && Date.now() - start < LIMIT;) {
    process._tickCallback();
    run();
  }
  return isSo();
}

const PIECE = 64 * 1024;
const PIECES = 64;
const body = Buffer.concat(Array.from({ length: PIECES }, (_, index) => Buffer.alloc(PIECE, index)));

function answer(request, response) {
  if (request.url === '/large') response.end(body);
  else setImmediate(() => response.end('ok'));
}

for (const Agent of [http.Agent, HttpAgent]) {
  test(`${Agent.name}: a handler waits for another request`, { timeout, skip }, async (t) => {
    const { port } = await httpServer(t, answer);
    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    // A turn of the loop waits for something that happens in it.
    const ticking = setInterval(() => {}, 10);
    t.after(() => clearInterval(ticking));
    const get = (onResponse) =>
      new Promise((resolve, reject) => {
        const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
          onResponse?.();
          response.on('end', () => resolve(response.statusCode)).resume();
        });
        request.on('error', reject);
      });
    for (let round = 0; round < 5; round++) {
      const seen = [];
      const waited = await get(() => {
        let other;
        get().then((status) => (other = status));
        seen.push(waitFor(() => other === 200));
        // And once more, with nothing under way that the loop waits for.
        process._tickCallback();
        run();
      });
      assert.deepEqual([waited, ...seen], [200, true]);
      assert.deepEqual(await Promise.all([get(), get(), get()]), [200, 200, 200]);
    }
  });
}

test('what comes for the request whose handler waits comes behind it', { timeout, skip }, async (t) => {
  const { port } = await httpServer(t, answer);
  const agent = new HttpAgent({ maxReadAheadBytes: 2 * body.length });
  t.after(() => agent.destroy());
  const ticking = setInterval(() => {}, 10);
  t.after(() => clearInterval(ticking));
  const at = { host: '127.0.0.1', port, agent };
  for (const isFirst of [true, false, false]) {
    const request = http.get({ ...at, path: '/large' });
    const chunks = [];
    let others = 0;
    const other = () =>
      http.get(at, (response) => response.resume().on('end', () => others++)).on('error', assert.ifError);
    request.on('response', (response) => {
      response.on('data', (chunk) => {
        if (chunks.length % 8 === 0) {
          const before = others;
          other();
          assert.ok(waitFor(() => others > before));
        }
        chunks.push(chunk);
      });
      other();
      assert.ok(waitFor(() => others === 1));
    });
    const [response] = await once(request, 'response');
    await once(response, 'end');
    assert.ok(
      Buffer.concat(chunks).equals(body),
      isFirst ? 'on a new connection' : 'on one that is used again',
    );
  }
});
