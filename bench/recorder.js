'use strict';

const { monitorEventLoopDelay, performance } = require('node:perf_hooks');

const mainThreadCpu = require('./main-thread-cpu');

/** How often the event loop's delay is looked at, in ms. */
const LOOP_RESOLUTION = 1;

/**
 * Counts the requests of one slice. Latencies and CPU time belong to the window between `open` and `close`;
 * failures and unfinished requests are counted over the whole slice, since one that fails while connections are
 * being opened is no less a failure.
 */
class Recorder {
  #latencies = [];
  #failures = new Map();
  #pending = 0;
  #isOpen = false;
  #start;
  #measured;
  #loopDelay;

  /** `loopDelay`: whether to measure that of the event loop too. */
  constructor({ loopDelay = false } = {}) {
    if (loopDelay) this.#loopDelay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION });
  }

  open() {
    this.#isOpen = true;
    this.#loopDelay?.enable();
    this.#start = readClocks();
  }

  close() {
    const end = readClocks();
    this.#loopDelay?.disable();
    this.#isOpen = false;
    this.#measured = {
      seconds: (end.time - this.#start.time) / 1e3,
      mainCpu: end.mainCpu - this.#start.mainCpu,
      processCpu: end.processCpu - this.#start.processCpu,
    };
  }

  get pending() {
    return this.#pending;
  }

  began() {
    this.#pending++;
  }

  succeeded(latency) {
    this.#pending--;
    if (this.#isOpen) this.#latencies.push(latency);
  }

  failed(error) {
    this.#pending--;
    this.#countFailure(error.code ? `${error.code}: ${error.message}` : error.message);
  }

  /** What never ended is a failure too. */
  abandonPending() {
    while (this.#pending > 0) {
      this.#pending--;
      this.#countFailure('no response before the end of the slice and its grace');
    }
  }

  /** The 99th percentile in ms; of what a timer is late, not of its interval. */
  #readLoopDelay() {
    return this.#loopDelay ? Math.max(0, this.#loopDelay.percentile(99) / 1e6 - LOOP_RESOLUTION) : null;
  }

  #countFailure(text) {
    this.#failures.set(text, (this.#failures.get(text) ?? 0) + 1);
  }

  /** Per-request figures are null where no request succeeded: a failed slice has no speed. */
  result() {
    const { seconds, mainCpu, processCpu } = this.#measured;
    const sorted = Float64Array.from(this.#latencies).sort();
    const requests = sorted.length;
    const perRequest = (value) => (requests > 0 ? value / requests : null);
    return {
      requests,
      seconds,
      rate: requests > 0 ? requests / seconds : null,
      mainCpu: perRequest(mainCpu),
      processCpu: perRequest(processCpu),
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
      loopDelay: this.#readLoopDelay(),
      failures: Object.fromEntries(this.#failures),
    };
  }
}

/** Time in ms, CPU in µs. */
function readClocks() {
  const { user, system } = process.cpuUsage();
  return { time: performance.now(), mainCpu: mainThreadCpu.read(), processCpu: user + system };
}

/** Nearest rank: a latency that some request really had, never one in between. */
function percentile(sorted, share) {
  if (sorted.length === 0) return null;
  return sorted[Math.ceil(sorted.length * share) - 1];
}

module.exports = { Recorder };
