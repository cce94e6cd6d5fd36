'use strict';

// The options that http.Agent does not have: checks, and agentkeepalive's older names.
// Node's own constructor checks Node's own.

const { COUNTS, toCount } = require('../counts');
const { DEFAULTS, isGiven } = require('../defaults');
const errors = require('../errors');
const { toDuration } = require('../durations');
const { toPolicy } = require('../request/retry-policy');

const DURATIONS = [
  'freeSocketTimeout',
  'maxFreeSocketTimeout',
  'deadPeerTimeout',
  'socketActiveTTL',
  'connectTimeout',
  'dnsCacheTtl',
  'queueTimeout',
  'timeout',
];

/** The options of the agent, checked, with durations in ms. Throws for a wrong one, before anything happened. */
function agentOptions(given) {
  if (given !== undefined && given !== null && typeof given !== 'object') {
    throw errors.invalidArgType('options', 'of type object', given);
  }
  const options = { ...given };
  options.keepAlive ??= true;
  options.freeSocketTimeout ??= options.freeSocketKeepAliveTimeout ?? options.keepAliveTimeout;
  // A limit that the program has chosen is not raised by a server, unless the program says so.
  options.maxFreeSocketTimeout ??= options.freeSocketTimeout;

  for (const name of DURATIONS) {
    if (options[name] != null) options[name] = toDuration(options[name], `options.${name}`);
  }
  // It is given to timers of Node's sockets, which do not take Infinity.
  if (options.timeout === Infinity) options.timeout = 0;
  for (const name of COUNTS) if (options[name] != null) toCount(options[name], name);
  if (options.sendEarly != null && ![false, 'safe', 'all'].includes(options.sendEarly)) {
    throw errors.invalidArgValue('options.sendEarly', options.sendEarly, "must be 'safe', 'all' or false");
  }
  toPolicy(options.retry, 'options.retry');
  return options;
}

/** What the options are where nothing was given, or where it was taken away: there to be read, and not to be copied. */
const UNSET = Object.create(null);
for (const [name, value] of Object.entries(DEFAULTS))
  Object.defineProperty(UNSET, name, { value, writable: true, configurable: true, enumerable: false });

/**
 * The agent's `options`, out of those that Node's constructor has made of agentOptions(). Node copies them for each
 * socket, and for most requests, so our defaults are not among their own members, but behind them; and they are in V8's fast
 * mode (Node's literal, with a null prototype, is in the slow one).
 */
function liveOptions(options) {
  const live = { ...options };
  for (const name of Object.keys(DEFAULTS)) if (!isGiven(live, name)) delete live[name];
  return Object.setPrototypeOf({ ...live }, UNSET);
}

module.exports = { agentOptions, liveOptions };
