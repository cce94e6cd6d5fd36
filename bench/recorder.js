'use strict';

const { monitorEventLoopDelay } = require('node:perf_hooks');

const { readClocks, since } = require('./clocks');
const { percentiles } = require('./percentile');

/** How often the event loop's delay is looked at, in ms: so seldom that looking costs nothing that shows. */
const LOOP_RESOLUTION = 10;

/** How often memory is looked at, in ms. What grows and shrinks within a slice is not seen at its end. */
const MEMORY_INTERVAL = 50;

const MIB = 1024 * 1024;

/**
 * Counts the requests of one slice. Latencies and CPU time belong to the window between `open` and `close`;
 * failures and unfinished requests are counted over the whole slice, since one that fails while connections are
 * being opened is no less a failure.
 */
class Recorder {
  #unitsPerRequest;
  #latencies = [];
  #failures = new Map();
  #pending = 0;
  #isOpen = false;
  #start;
  #measured;
  #loopDelay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION });
  #memory = 0;
  #memoryTimer;

  /** `unitsPerRequest`: how many of the unit that speed and CPU are given in (requests, or MiB) a request is. */
  constructor({ unitsPerRequest = 1 } = {}) {
    this.#unitsPerRequest = unitsPerRequest;
  }

  open() {
    this.#isOpen = true;
    this.#loopDelay.enable();
    this.#readMemory();
    this.#memoryTimer = setInterval(() => this.#readMemory(), MEMORY_INTERVAL);
    this.#start = readClocks();
  }

  close() {
    this.#measured = since(this.#start);
    this.#readMemory();
    clearInterval(this.#memoryTimer);
    this.#loopDelay.disable();
    this.#isOpen = false;
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

  #readMemory() {
    this.#memory = Math.max(this.#memory, process.memoryUsage.rss());
  }

  /** The 99th percentile in ms; of what a timer is late, not of its interval. */
  #readLoopDelay() {
    return Math.max(0, this.#loopDelay.percentile(99) / 1e6 - LOOP_RESOLUTION);
  }

  #countFailure(text) {
    this.#failures.set(text, (this.#failures.get(text) ?? 0) + 1);
  }

  /** Per-request figures are null where no request succeeded: a failed slice has no speed. */
  result() {
    const { seconds, mainCpu, processCpu } = this.#measured;
    const requests = this.#latencies.length;
    const units = requests * this.#unitsPerRequest;
    const perUnit = (value) => (units > 0 ? value / units : null);
    return {
      requests,
      seconds,
      rate: units > 0 ? units / seconds : null,
      mainCpu: perUnit(mainCpu),
      processCpu: perUnit(processCpu),
      ...percentiles(this.#latencies),
      loopDelay: this.#readLoopDelay(),
      memory: this.#memory / MIB,
      failures: Object.fromEntries(this.#failures),
    };
  }
}

module.exports = { Recorder };
