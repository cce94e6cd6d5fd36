'use strict';

// How long a connection may be idle before it is closed on our side, by what the agent's options and the
// server's hint say. Rust takes the margin off and knows what was learned (src/pool/idle_limit.rs).

const { native } = require('../binding');

/** What a response without a hint says. */
const NO_HINT = Object.freeze({ timeout: undefined, max: undefined });

/** Servers send the same few hints again and again, but who counts `max` down sends some hundred. */
const CACHED = 500;
const cache = new Map();

/** `{ timeout, max }` of a `Keep-Alive` field: ms, and requests; undefined where it does not say. */
function parseHint(field) {
  let hint = cache.get(field);
  if (hint === undefined) {
    if (cache.size === CACHED) cache.clear();
    cache.set(field, (hint = Object.freeze({ ...NO_HINT, ...native.parseKeepAlive(field) })));
  }
  return hint;
}

/** The hint of a response, of all its `Keep-Alive` fields. `headers` would be made for this alone. */
function hintOf(response) {
  const raw = response?.rawHeaders;
  if (raw === undefined) return NO_HINT;
  let field;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i];
    if (name.length === 10 && name.toLowerCase() === 'keep-alive') {
      field = field === undefined ? raw[i + 1] : `${field}, ${raw[i + 1]}`;
    }
  }
  return field === undefined ? NO_HINT : parseHint(field);
}

/** The margin that was set by hand, if there is one. As in Node, what cannot be one is none. */
function marginOf({ agentKeepAliveTimeoutBuffer: buffer }) {
  return Number.isFinite(buffer) && buffer >= 0 ? buffer : undefined;
}

/**
 * The agent's own limit in ms beside a hint: `own`, which the hint may raise to `ceiling`. `buffer` is the margin
 * that was set by hand; without one Rust takes its own off the hint.
 */
function idleLimit(own, ceiling, { timeout }, buffer) {
  if (timeout === undefined) return own;
  const limit = Math.max(own, ceiling);
  return buffer === undefined ? limit : Math.min(limit, Math.max(0, timeout - buffer));
}

/** What Rust has to be told: a margin that was set by hand has been taken off already. */
function nativeHint(hint, buffer) {
  if (hint === NO_HINT) return undefined;
  return buffer === undefined ? hint : { max: hint.max };
}

/** The margin under a hint for Node's own sockets, whose round trip nobody has measured: Rust's floor. */
function nodeMargin(timeout) {
  return Math.min(1000, Math.max(100, timeout / 10));
}

module.exports = { hintOf, idleLimit, marginOf, nativeHint, nodeMargin, parseHint };
