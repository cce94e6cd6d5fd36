'use strict';

// A handler that throws ends one callback, in the middle of a batch of events. The others of the batch
// are other people's.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const { startServer } = require('./helpers/blocked');

const CONCURRENCY = 50;

/** Runs in a process of its own: an uncaught exception is the test runner's otherwise. */
async function client(port, where) {
  const http = require('node:http');
  const { HttpAgent } = require('..');
  const thrown = [];
  process.on('uncaughtException', (error) => thrown.push(error.message));
  const agent = new HttpAgent({ maxSockets: CONCURRENCY });
  const right = [];
  const round = (name) => {
    const all = [];
    for (let i = 0; i < CONCURRENCY; i++) {
      const id = `${name}-${i}`;
      const throws = name === 'throwing' && i % 5 === 0;
      all.push(
        new Promise((resolve) => {
          const headers = { 'x-id': id, 'x-do': 'ok/20' };
          const request = http.get({ host: '127.0.0.1', port, agent, headers }, (response) => {
            response.on('data', (chunk) => {
              if (throws && where === 'data') throw new Error(id);
              if (`${chunk}` === `ok:${id}`) right.push(id);
            });
            response.on('end', () => {
              if (throws && where === 'end') throw new Error(id);
            });
            if (throws && where === 'tick')
              process.nextTick(() => {
                throw new Error(id);
              });
            if (throws && where === 'response') throw new Error(id);
          });
          request.on('close', resolve);
          // A request whose handler threw may be broken, as it is with http.Agent.
          if (throws) setTimeout(resolve, 1000);
        }),
      );
    }
    return Promise.all(all);
  };
  await round('warm');
  await round('throwing');
  await round('after');
  const count = (name) => right.filter((id) => id.startsWith(`${name}-`)).length;
  console.log(
    JSON.stringify({
      thrown: thrown.length,
      warm: count('warm'),
      throwing: count('throwing'),
      after: count('after'),
    }),
  );
  process.exit();
}

if (process.argv[2] === 'client') {
  client(Number(process.argv[3]), process.argv[4]);
} else {
  for (const where of ['response', 'data', 'end', 'tick']) {
    test(`an exception in ${where} costs no other request anything`, { timeout: 30_000 }, async (t) => {
      const server = await startServer(t);
      const args = [path.join(__dirname, 'throwing-handler.test.js'), 'client', server.port, where];
      const env = { ...process.env };
      delete env.NODE_TEST_CONTEXT;
      const { stdout } = await promisify(execFile)(process.execPath, args.map(String), { env });
      const { thrown, warm, throwing, after } = JSON.parse(stdout);
      assert.equal(thrown, CONCURRENCY / 5);
      assert.equal(warm, CONCURRENCY);
      assert.ok(throwing >= CONCURRENCY - thrown, `${throwing} of ${CONCURRENCY}`);
      assert.equal(after, CONCURRENCY);
    });
  }
}
