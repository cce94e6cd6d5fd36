'use strict';

// The process of one candidate. It lives for the whole run and is idle between its slices.

const { setTimeout: sleep } = require('node:timers/promises');

const { answer } = require('../child');
const { CANDIDATES } = require('./agents');
const { Attempts } = require('./attempts');
const { CALL_SITES } = require('./call-sites');
const { ROWS } = require('./rows');
const { SITUATIONS } = require('./situations');

const [name, before] = process.argv.slice(2);
let candidate;
let current;

answer({
  prepare() {
    try {
      candidate = CANDIDATES[name].load(before);
    } catch (cause) {
      throw new Error(`${name} could not be loaded (--agents can leave it out): ${cause.message}`, { cause });
    }
    return { version: candidate.version };
  },

  /** The same agents serve all slices of a row. */
  begin(id, port) {
    const { situation, method, site } = ROWS.find((row) => row.id === id);
    const { callers, run } = SITUATIONS[situation];
    const agents = Array.from({ length: callers }, () => candidate.open(port));
    const senders = agents.map((agent) => CALL_SITES[site].prepare(agent, port, method));
    current = { run, agents, senders };
  },

  async slice(duration) {
    const attempts = new Attempts();
    const stop = new AbortController();
    const load = current.run(current.senders, attempts, stop.signal);
    await Promise.race([load, sleep(duration)]);
    stop.abort();
    // Every request has a deadline, so this ends.
    await load;
    return attempts.result();
  },

  end() {
    for (const agent of current.agents) agent.destroy();
    current = undefined;
  },
});
