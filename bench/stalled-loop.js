'use strict';

const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');

const { readClocks, since } = require('./clocks');
const mainThreadCpu = require('./main-thread-cpu');
const { percentile, percentiles } = require('./percentile');

const PERIOD = 100; // ms
const STALL = 50; // ms of each period
const RATE = 400; // requests/s, besides those that are made just before a stall
const BEFORE_STALL = 5; // requests
const RAMP = 3; // periods that are not counted
const GRACE = 10_000; // ms

/**
 * JavaScript computes for half of the time, as in a service whose handlers do. Requests arrive at a fixed rate whether
 * earlier ones have been answered or not, and their latency runs from when they were due: one that is due during a
 * stall is made late, and that wait is its caller's as well. Some are made in the tick that computes, before it does:
 * what this case is about is when they get to the server.
 */
async function stalledLoop(_, { exchange }, duration) {
  const slice = new Slice(exchange);
  const first = performance.now();
  const opens = first + RAMP * PERIOD;
  const closes = opens + duration;
  let nextArrival = first;
  let nextStall = first;
  let start;
  let measured;
  while (measured === undefined) {
    // As a server's loop, which turns at least for every packet.
    await sleep(1);
    const now = performance.now();
    if (start === undefined && now >= opens) {
      slice.isOpen = true;
      slice.stallCpu = 0;
      start = readClocks();
    } else if (now >= closes) {
      slice.isOpen = false;
      measured = since(start);
      break;
    }
    for (; nextArrival <= now; nextArrival += 1e3 / RATE) slice.arrive(nextArrival);
    if (now >= nextStall) {
      for (let i = 0; i < BEFORE_STALL; i++) slice.makeBeforeStall();
      slice.stall();
      nextStall += PERIOD;
    }
  }
  await Promise.race([Promise.all(slice.underWay), sleep(GRACE, undefined, { ref: false })]);
  return slice.result(measured);
}

/**
 * The server's clock, in µs, less ours: both count from the system's start. A reading that was interrupted between the
 * two is too small.
 */
function clockOffset() {
  const read = () => Number(process.hrtime.bigint() / 1000n) - performance.now() * 1e3;
  return Math.max(...Array.from({ length: 10 }, read));
}

class Slice {
  #exchange;
  #failures = {};
  #latencies = [];
  #reached = [];
  #answered = [];
  #offset = clockOffset();
  underWay = new Set();
  isOpen = false;
  stallCpu = 0;

  constructor(exchange) {
    this.#exchange = exchange;
  }

  arrive(due) {
    this.#make((answered) => this.#latencies.push(answered - due));
  }

  makeBeforeStall() {
    const made = performance.now();
    this.#make((answered, arrival) => {
      this.#reached.push((Number(arrival) - this.#offset) / 1e3 - made);
      this.#answered.push(answered - made);
    });
  }

  #make(count) {
    const isCounted = this.isOpen;
    const exchange = this.#exchange().then(
      (arrival) => {
        this.underWay.delete(exchange);
        if (isCounted) count(performance.now(), arrival);
      },
      (error) => {
        this.underWay.delete(exchange);
        this.#failures[error.message] = (this.#failures[error.message] ?? 0) + 1;
      },
    );
    this.underWay.add(exchange);
  }

  /** Computes. What it takes is not the requests' cost. */
  stall() {
    const start = performance.now();
    const cpu = mainThreadCpu.read();
    while (performance.now() - start < STALL);
    this.stallCpu += mainThreadCpu.read() - cpu;
  }

  result({ seconds, mainCpu, processCpu }) {
    const requests = this.#latencies.length + this.#reached.length;
    const perRequest = (value) => (requests > 0 ? (value - this.stallCpu) / requests : null);
    const reached = this.#reached.toSorted((a, b) => a - b);
    const answered = this.#answered.toSorted((a, b) => a - b);
    if (this.underWay.size > 0)
      this.#failures['no response before the end of the slice and its grace'] = this.underWay.size;
    return {
      requests,
      seconds,
      reachP50: percentile(reached, 0.5),
      reachP99: percentile(reached, 0.99),
      answerP50: percentile(answered, 0.5),
      ...percentiles(this.#latencies),
      rate: requests / seconds,
      mainCpu: perRequest(mainCpu),
      processCpu: perRequest(processCpu),
      failures: this.#failures,
    };
  }
}

/** The times of two processes are compared, for which both read the clock that counts from the system's start. */
function obstacle() {
  if (process.platform === 'linux') return undefined;
  return 'the server shares a clock with the clients only on Linux';
}

module.exports = { obstacle, stalledLoop };
