'use strict';

// What offloop is held to. A run prints each beside what it measured, met or not.

/**
 * @typedef {object} Target
 * @property {string} id of the case
 * @property {string} metric
 * @property {string | null} against the candidate that the ratio is to; null: the figure itself
 * @property {number} [atLeast]
 * @property {number} [atMost]
 */

/** Ratios of speed and of CPU time to http.Agent (https.Agent). */
const toBaseline = (id, rate, mainCpu, processCpu) => [
  { id, metric: 'rate', against: 'builtin', atLeast: rate },
  { id, metric: 'mainCpu', against: 'builtin', atMost: mainCpu },
  { id, metric: 'processCpu', against: 'builtin', atMost: processCpu },
];

const toUndici = (id) => ({ id, metric: 'rate', against: 'undici', atLeast: 1.3 });

/** @type {Target[]} */
const TARGETS = [
  ...toBaseline('get-small-1', 1.1, 0.7, 0.5),
  ...toBaseline('get-small-10', 2.2, 0.27, 0.5),
  ...toBaseline('get-small-50', 3, 0.2, 0.5),
  toUndici('get-small-50'),
  ...toBaseline('post-1k-50', 3, 0.2, 0.5),
  toUndici('post-1k-50'),
  ...toBaseline('get-64k-50', 2, 0.25, 1.1),
  ...toBaseline('download-64m-4', 1.2, 0.6, 1.1),
  ...toBaseline('upload-64m-4', 1, 0.5, 1.1),
  ...toBaseline('upload-64m-whole-4', 1, 0.5, 1.1),
  ...toBaseline('https-get-small-50', 3, 0.2, 0.5),
  toUndici('https-get-small-50'),
  { id: 'idle-5000', metric: 'rss', against: 'builtin', atMost: 0.5 },
  { id: 'idle-5000', metric: 'native', against: null, atMost: 4 },
  { id: 'idle-tls-5000', metric: 'rss', against: 'builtin', atMost: 0.5 },
  { id: 'idle-tls-5000', metric: 'native', against: null, atMost: 16 },
  { id: 'stalled-loop', metric: 'reachP50', against: null, atMost: 5 },
  { id: 'stalled-loop', metric: 'reachP99', against: null, atMost: 20 },
];

/** The candidate that they are about. */
const SUBJECT = 'offloop';

module.exports = { SUBJECT, TARGETS };
