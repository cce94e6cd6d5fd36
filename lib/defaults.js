'use strict';

// What the options mean that http.Agent does not have, where they say nothing: an agent's options may be changed while it
// runs, and be taken away or replaced as a whole.

const DEFAULTS = {
  /** ms. Below the 5 s after which Node's own server closes an idle connection. */
  freeSocketTimeout: 4000,
  /** ms. Well below the idle limits of what may stand between: balancers and firewalls begin at a minute. */
  maxFreeSocketTimeout: 60_000,
  /** ms. After it a changed DNS answer has been followed. */
  socketActiveTTL: 600_000,
  /** ms. Longer than a network takes to find another way, or a machine to move to another host. */
  deadPeerTimeout: 20_000,
  /** Bytes of a response that are read before JavaScript has taken them. */
  maxReadAheadBytes: 256 * 1024,
  /** The same for all connections of an agent together. */
  maxBufferedBytes: 64 * 1024 * 1024,
  /** Bytes of a request that are kept to send it again. */
  maxReplayBytes: 64 * 1024,
  /** Requests of a queue that may be sent while JavaScript blocks. */
  maxSentAhead: 64,
};

/** null says nothing, too, but for the age of a socket: there it is agentkeepalive's word for no limit. */
function isGiven(options, name) {
  const value = options[name];
  return name === 'socketActiveTTL' ? value !== undefined : value != null;
}

/** An option, or its default. */
function optionOf(options, name) {
  return isGiven(options, name) ? options[name] : DEFAULTS[name];
}

module.exports = { DEFAULTS, isGiven, optionOf };
