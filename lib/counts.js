'use strict';

// Counts and sizes as options give them.

const errors = require('./errors');

/** Where the native side counts in 32 bits. */
const MAX_UINT = 0xffffffff;
const MAX_WINDOW = 0x3fffffff;

/** The least and the most of each; if there is no most, Infinity will do. */
const RANGES = {
  maxQueuedRequests: [0, Infinity],
  maxReadAheadBytes: [1, MAX_WINDOW],
  maxBufferedBytes: [0, Infinity],
  maxReplayBytes: [0, MAX_UINT],
  maxSentAhead: [0, MAX_UINT],
};

/** The option `name`, one of these. Throws Node's errors for what is no integer in its range. */
function toCount(value, name) {
  const [least, most] = RANGES[name];
  if (!(value === Infinity && most === Infinity)) errors.checkInteger(value, `options.${name}`, least, most);
  return value;
}

module.exports = { COUNTS: Object.keys(RANGES), toCount };
