'use strict';

const http = require('node:http');
const https = require('node:https');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

// An agent that fails at once (nothing listens, say) must not turn the loop into a busy one.
const PAUSE_AFTER_FAILURE = 10; // ms

/**
 * How a case makes its requests: until `signal.aborted`, and resolves once the last of them has ended.
 * @callback Load
 * @param {import('./cases').Case} benchCase
 * @param {{ agent: http.Agent, port: number }} target
 * @param {import('./recorder').Recorder} recorder
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */

/**
 * `concurrency` callers, each sending its next request when it has read the last response whole.
 * @type {Load}
 */
async function closedLoop(benchCase, target, recorder, signal) {
  const caller = async () => {
    while (!signal.aborted) {
      const started = performance.now();
      recorder.began();
      try {
        await exchange(benchCase, target);
        recorder.succeeded(performance.now() - started);
      } catch (error) {
        recorder.failed(error);
        await sleep(PAUSE_AFTER_FAILURE);
      }
    }
  };
  await Promise.all(Array.from({ length: benchCase.concurrency }, caller));
}

/**
 * The call site: the same for every agent. Waiting on a promise, as programs do, also lets Node put the
 * connection back among the idle ones before the next request asks for one; a request sent straight from the
 * 'end' listener would open a second connection.
 */
function exchange({ scheme, request, expect }, { agent, port }) {
  const module = scheme === 'https' ? https : http;
  return new Promise((resolve, reject) => {
    const req = module.request({ ...request, host: '127.0.0.1', port, agent }, (res) => {
      let bytes = 0;
      res.on('data', (chunk) => {
        bytes += chunk.length;
      });
      res.on('error', reject);
      res.on('end', () => {
        if (res.statusCode === expect.status && bytes === expect.bytes) resolve();
        else reject(new Error(`unexpected response: status ${res.statusCode}, ${bytes} bytes`));
      });
    });
    req.on('error', reject);
    req.end();
  });
}

module.exports = { closedLoop };
