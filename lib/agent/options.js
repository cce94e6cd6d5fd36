'use strict';

// The options that http.Agent does not have: checks, and agentkeepalive's older names.
// Node's own constructor checks Node's own.

const { DEFAULTS, optionOf } = require('../defaults');
const errors = require('../errors');
const { toDuration } = require('../durations');
const { toPolicy } = require('../request/retry-policy');

/** Where the native side counts in 32 bits. */
const MAX_UINT = 0xffffffff;
const MAX_WINDOW = 0x3fffffff;

/** The options of the agent, with defaults. Throws for a wrong one, before anything happened. */
function agentOptions(given) {
  if (given !== undefined && given !== null && typeof given !== 'object') {
    throw errors.invalidArgType('options', 'of type object', given);
  }
  const options = { ...given };
  options.keepAlive ??= true;
  options.freeSocketTimeout ??= options.freeSocketKeepAliveTimeout ?? options.keepAliveTimeout;
  // A limit that the program has chosen is not raised by a server, unless the program says so.
  options.maxFreeSocketTimeout ??= options.freeSocketTimeout;
  for (const name of Object.keys(DEFAULTS)) options[name] = optionOf(options, name);

  for (const name of ['freeSocketTimeout', 'maxFreeSocketTimeout', 'deadPeerTimeout']) {
    options[name] = toDuration(options[name], `options.${name}`);
  }
  for (const name of ['socketActiveTTL', 'connectTimeout', 'dnsCacheTtl', 'queueTimeout']) {
    if (options[name] != null) options[name] = toDuration(options[name], `options.${name}`);
  }
  if (options.timeout != null) options.timeout = toDuration(options.timeout, 'options.timeout');
  if (options.maxQueuedRequests != null && options.maxQueuedRequests !== Infinity) {
    errors.checkInteger(options.maxQueuedRequests, 'options.maxQueuedRequests', 0, Infinity);
  }
  if (options.sendEarly != null && ![false, 'safe', 'all'].includes(options.sendEarly)) {
    throw errors.invalidArgValue('options.sendEarly', options.sendEarly, "must be 'safe', 'all' or false");
  }
  errors.checkInteger(options.maxReadAheadBytes, 'options.maxReadAheadBytes', 1, MAX_WINDOW);
  if (options.maxBufferedBytes !== Infinity) {
    errors.checkInteger(options.maxBufferedBytes, 'options.maxBufferedBytes', 0, Infinity);
  }
  errors.checkInteger(options.maxReplayBytes, 'options.maxReplayBytes', 0, MAX_UINT);
  errors.checkInteger(options.maxSentAhead, 'options.maxSentAhead', 0, MAX_UINT);
  toPolicy(options.retry, 'options.retry');
  return options;
}

module.exports = { agentOptions };
