'use strict';

// The options that http.Agent does not have: defaults, checks, and agentkeepalive's older names.
// Node's own constructor checks Node's own.

const errors = require('../errors');
const { toDuration } = require('../durations');
const { toPolicy } = require('../request/retry-policy');

/** ms. */
const DEFAULTS = {
  /** Below the 5 s after which Node's own server closes an idle connection. */
  freeSocketTimeout: 4000,
  /** Well below the idle limits of what may stand between: balancers and firewalls begin at a minute. */
  maxFreeSocketTimeout: 60_000,
};
/** ms. After it a changed DNS answer has been followed. */
const SOCKET_ACTIVE_TTL = 600_000;
/** ms. Longer than a network takes to find another way, or a machine to move to another host. */
const DEAD_PEER_TIMEOUT = 20_000;
/** Bytes of a response that are read before JavaScript has taken them. */
const MAX_READ_AHEAD = 256 * 1024;
/** The same for all connections of an agent together. */
const MAX_BUFFERED = 64 * 1024 * 1024;
/** Requests of a queue that may be sent while JavaScript blocks. */
const MAX_SENT_AHEAD = 64;
/** Bytes of a request that are kept to send it again. */
const MAX_REPLAY = 64 * 1024;

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
  options.maxFreeSocketTimeout ??= options.freeSocketTimeout ?? DEFAULTS.maxFreeSocketTimeout;
  options.freeSocketTimeout ??= DEFAULTS.freeSocketTimeout;
  // null is agentkeepalive's word for none.
  if (options.socketActiveTTL === undefined) options.socketActiveTTL = SOCKET_ACTIVE_TTL;
  options.deadPeerTimeout ??= DEAD_PEER_TIMEOUT;
  options.maxReadAheadBytes ??= MAX_READ_AHEAD;
  options.maxBufferedBytes ??= MAX_BUFFERED;
  options.maxReplayBytes ??= MAX_REPLAY;
  options.maxSentAhead ??= MAX_SENT_AHEAD;

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

module.exports = { DEFAULTS, agentOptions };
