'use strict';

// Spans of time as options give them: milliseconds, or '30s', '5m', as agentkeepalive takes them.

const errors = require('./errors');

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/i;

/** The longest span that a timer takes (Node's TIMEOUT_MAX). */
const MAX_TIMER = 0x7fffffff;

/** The span in ms, or undefined for a string that is none. */
function parse(text) {
  const [, number, unit = 'ms'] = DURATION.exec(text.trim()) ?? [];
  return number === undefined ? undefined : Number(number) * UNITS[unit.toLowerCase()];
}

/** The span of the option `name` in ms. Throws Node's errors for what is none; Infinity is no limit. */
function toDuration(value, name) {
  if (typeof value !== 'number' && typeof value !== 'string') {
    throw errors.invalidArgType(name, 'one of type number or string', value);
  }
  const ms = typeof value === 'string' ? parse(value) : value;
  if (ms === undefined) {
    throw errors.invalidArgValue(
      name,
      value,
      "must be a number of milliseconds or a string such as '30s' or '5m'",
    );
  }
  if (!(ms >= 0)) throw errors.outOfRange(name, '>= 0', value);
  return ms;
}

/** The duration of a timer, checked as Node checks it: a finite number that is not negative. */
function toTimerDuration(msecs, name) {
  if (typeof msecs !== 'number') throw errors.invalidArgType(name, 'of type number', msecs);
  if (!(msecs >= 0 && Number.isFinite(msecs)))
    throw errors.outOfRange(name, 'a non-negative finite number', msecs);
  if (msecs <= MAX_TIMER) return msecs;
  process.emitWarning(
    `${msecs} does not fit into a 32-bit signed integer.\nTimer duration was truncated to ${MAX_TIMER}.`,
    'TimeoutOverflowWarning',
  );
  return MAX_TIMER;
}

module.exports = { toDuration, toTimerDuration };
