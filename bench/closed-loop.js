'use strict';

const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

const { Recorder } = require('./recorder');

// Connections that were closed while the others had their turn are opened again before the window opens.
const RAMP = 100; // ms
const GRACE = 10_000; // ms, for requests that are under way when the window closes

// An agent that fails at once (nothing listens, say) must not turn the loop into a busy one.
const PAUSE_AFTER_FAILURE = 10; // ms

/** `concurrency` callers, each sending its next request when it has read the last response whole. */
async function closedLoop({ concurrency, wholeRequests, unitsPerRequest }, { exchange }, duration) {
  const recorder = new Recorder({ unitsPerRequest });
  let stopped = false;
  const caller = async () => {
    while (!stopped) {
      const started = performance.now();
      recorder.began();
      try {
        await exchange();
        recorder.succeeded(performance.now() - started);
      } catch (error) {
        recorder.failed(error);
        await sleep(PAUSE_AFTER_FAILURE);
      }
    }
  };
  const start = () => Promise.all(Array.from({ length: concurrency }, caller));
  // The next candidate's slice must not begin before this one is quiet.
  const quiet = (callers) => Promise.race([callers, sleep(GRACE, undefined, { ref: false })]);
  if (wholeRequests) {
    // There are so few that one more or less at the edges of the window would be a step of several percent.
    recorder.open();
    const callers = start();
    await sleep(duration);
    stopped = true;
    await quiet(callers);
    recorder.close();
  } else {
    const callers = start();
    await sleep(RAMP);
    recorder.open();
    await sleep(duration);
    recorder.close();
    stopped = true;
    await quiet(callers);
  }
  recorder.abandonPending();
  return recorder.result();
}

module.exports = { closedLoop };
