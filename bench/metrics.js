'use strict';

/**
 * @typedef {object} Metric
 * @property {string} key of a slice's figures
 * @property {string} title
 * @property {'more' | 'less'} [better] for the reader: every ratio is printed, whichever way it points. Without it no
 * ratio is taken: the figure is a condition of the others, or so near zero that a quotient says nothing
 * @property {number} digits
 */

const LATENCIES = [
  { key: 'p50', title: 'latency p50, ms', better: 'less', digits: 3 },
  { key: 'p99', title: 'latency p99, ms', better: 'less', digits: 3 },
  { key: 'p999', title: 'latency p99.9, ms', better: 'less', digits: 3 },
];

const cpuPer = (unit) => [
  { key: 'mainCpu', title: `main thread, µs/${unit}`, better: 'less', digits: 1 },
  { key: 'processCpu', title: `whole process, µs/${unit}`, better: 'less', digits: 1 },
];

const LOOP_DELAY = { key: 'loopDelay', title: 'event loop delay p99, ms', better: 'less', digits: 2 };
const MEMORY = { key: 'memory', title: 'memory (peak RSS), MiB', better: 'less', digits: 0 };

/** @type {Metric[]} */
const REQUEST_METRICS = [
  { key: 'rate', title: 'requests/s', better: 'more', digits: 0 },
  ...cpuPer('request'),
  ...LATENCIES,
  LOOP_DELAY,
  MEMORY,
];

/** Of bodies so large that bytes are what costs. @type {Metric[]} */
const BULK_METRICS = [
  { key: 'rate', title: 'MiB/s', better: 'more', digits: 0 },
  ...cpuPer('MiB'),
  ...LATENCIES,
  LOOP_DELAY,
  MEMORY,
];

/** Of connections that do nothing. @type {Metric[]} */
const IDLE_METRICS = [
  { key: 'connections', title: 'connections', digits: 0 },
  { key: 'rss', title: 'RSS, KiB/connection', better: 'less', digits: 1 },
  { key: 'heap', title: 'JavaScript heap, KiB/connection', better: 'less', digits: 1 },
  { key: 'native', title: 'native memory, KiB/connection', better: 'less', digits: 1 },
  { key: 'idleCpu', title: 'CPU when idle, ms/s', digits: 2 },
  { key: 'wakeUps', title: 'wake-ups when idle, 1/s', digits: 1 },
  { key: 'openMainCpu', title: 'opening: main thread, µs/connection', better: 'less', digits: 0 },
  { key: 'openProcessCpu', title: 'opening: whole process, µs/connection', better: 'less', digits: 0 },
];

/** Of a loop that is busy half of the time. @type {Metric[]} */
const STALL_METRICS = [
  { key: 'reachP50', title: 'made before a stall: at the server p50, ms', better: 'less', digits: 2 },
  { key: 'reachP99', title: 'made before a stall: at the server p99, ms', better: 'less', digits: 2 },
  { key: 'answerP50', title: 'made before a stall: latency p50, ms', better: 'less', digits: 2 },
  ...LATENCIES.map((metric) => ({ ...metric, title: `at a fixed rate: ${metric.title}`, digits: 2 })),
  { key: 'rate', title: 'requests/s', digits: 0 },
  ...cpuPer('request'),
];

module.exports = { BULK_METRICS, IDLE_METRICS, REQUEST_METRICS, STALL_METRICS };
