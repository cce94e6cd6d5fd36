'use strict';

// The process of one agent. It lives for the whole run and is idle between its slices.

const { setTimeout: sleep } = require('node:timers/promises');

const { AGENTS } = require('./agents');
const { CASES } = require('./cases');
const { answer } = require('./child');
const mainThreadCpu = require('./main-thread-cpu');
const { Recorder } = require('./recorder');

// Connections that were closed while the others had their turn are opened again before the window opens.
const RAMP = 100; // ms
const GRACE = 10_000; // ms, for requests that are under way when the window closes

const [name, before] = process.argv.slice(2);
let candidate;
let current;

answer({
  prepare() {
    try {
      candidate = AGENTS[name].load(before);
    } catch (cause) {
      throw new Error(`${name} could not be loaded (--agents can leave it out): ${cause.message}`, { cause });
    }
    return { version: candidate.version, mainCpuSource: mainThreadCpu.source };
  },

  /** One agent serves all slices of a case. */
  begin(id, port) {
    const benchCase = CASES.find((one) => one.id === id);
    current = { benchCase, target: { agent: candidate[benchCase.scheme](benchCase.agentOptions), port } };
  },

  async slice(duration) {
    const { benchCase, target } = current;
    const recorder = new Recorder(benchCase);
    const stop = new AbortController();
    const load = benchCase.load(benchCase, target, recorder, stop.signal);
    await sleep(RAMP);
    recorder.open();
    await sleep(duration);
    recorder.close();
    stop.abort();
    // The next agent's slice must not begin before this one is quiet.
    await Promise.race([load, sleep(GRACE, undefined, { ref: false })]);
    recorder.abandonPending();
    return recorder.result();
  },

  end() {
    current.target.agent.destroy();
    current = undefined;
  },
});
