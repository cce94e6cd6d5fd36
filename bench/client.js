'use strict';

// The process of one candidate. It lives for all turns of a case and is idle between its slices.

const { AGENTS } = require('./agents');
const { CALL_SITES } = require('./call-sites');
const { CASES } = require('./cases');
const { answer } = require('./child');
const mainThreadCpu = require('./main-thread-cpu');

const [name, before] = process.argv.slice(2);
const { api, load } = AGENTS[name];
let candidate;
let current;

answer({
  prepare() {
    try {
      candidate = load(before);
    } catch (cause) {
      throw new Error(`${name} could not be loaded (--agents can leave it out): ${cause.message}`, { cause });
    }
    return { version: candidate.version, mainCpuSource: mainThreadCpu.source };
  },

  /** One agent serves all slices of a case. */
  begin(id, ports) {
    const benchCase = CASES.find((one) => one.id === id);
    const { agentOptions, dispatcherOptions, scheme } = benchCase;
    const agent = candidate[scheme](api === 'undici' ? dispatcherOptions : agentOptions);
    const exchanges = ports.map((port) => CALL_SITES[api](benchCase, agent, port));
    current = { benchCase, target: { exchange: exchanges[0], exchanges } };
  },

  slice(duration) {
    const { benchCase, target } = current;
    return benchCase.measure(benchCase, target, duration);
  },
});
