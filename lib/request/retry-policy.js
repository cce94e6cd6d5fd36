'use strict';

// Which requests may be sent twice when a reused connection was lost without an answer
// (docs/architecture.md, "When a request is sent again"): the option `retry`, of the agent and of a request.

const errors = require('../errors');
const { opFlag } = require('../crossing/records');

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'];

/** The caller's word that the server knows a repetition when it sees one. */
const IDEMPOTENCY_KEYS = ['Idempotency-Key', 'X-Idempotency-Key'];

/** RFC 9110 section 5.6.2: what a method and the name of a header are made of. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** Of an object that says it in detail. */
const MEMBERS = new Set(['methods', 'headers', 'maxReplayBytes', 'unacknowledged']);

const MAX_UINT = 0xffffffff;

const kPolicy = Symbol('policy');
/** Policies by the objects that they were made of. */
const policies = new WeakMap();

class RetryPolicy {
  #methods;
  #headers;
  /** Bytes of a request that are kept; undefined: as the agent says. */
  maxReplayBytes;
  /** Whether any request may be sent again of which the server has provably not got a byte. */
  unacknowledged;

  constructor({ methods = IDEMPOTENT, headers = IDEMPOTENCY_KEYS, maxReplayBytes, unacknowledged = false }) {
    this.#methods = new Set(methods.map((method) => method.toUpperCase()));
    const names = headers.map((name) => name.replace(/[.*+^$|]/g, '\\$&'));
    this.#headers = names.length > 0 ? new RegExp(`^(?:${names.join('|')}):`, 'im') : undefined;
    this.maxReplayBytes = maxReplayBytes;
    this.unacknowledged = unacknowledged;
  }

  /** What is allowed for a request, as flags of its first write. */
  flagsFor(request) {
    const flags = this.#allows(request) ? opFlag.REPLAYABLE : 0;
    return this.unacknowledged ? flags | opFlag.UNACKNOWLEDGED : flags;
  }

  /** Whether a request may be sent twice, whatever the server has done with it. */
  #allows(request) {
    // The header as it goes over the wire: it may have been given as an array, which no getHeader() sees.
    return this.#methods.has(request.method) || this.#headers?.test(request._header) === true;
  }
}

const DEFAULT = new RetryPolicy({});
const NEVER = new RetryPolicy({ methods: [], headers: [] });

/** The policy of an option `retry`. Throws Node's errors for what is none. */
function toPolicy(retry, name) {
  if (retry === 'idempotent' || retry == null) return DEFAULT;
  if (retry === false) return NEVER;
  if (typeof retry !== 'object' || Array.isArray(retry)) {
    throw errors.invalidArgValue(name, retry, "must be 'idempotent', false or an object");
  }
  let policy = policies.get(retry);
  if (policy === undefined) policies.set(retry, (policy = new RetryPolicy(checked(retry, name))));
  return policy;
}

function checked(retry, name) {
  const { methods, headers, maxReplayBytes, unacknowledged } = retry;
  checkTokens(methods, `${name}.methods`);
  checkTokens(headers, `${name}.headers`);
  if (maxReplayBytes !== undefined) {
    errors.checkInteger(maxReplayBytes, `${name}.maxReplayBytes`, 0, MAX_UINT);
  }
  if (unacknowledged !== undefined && typeof unacknowledged !== 'boolean') {
    throw errors.invalidArgType(`${name}.unacknowledged`, 'of type boolean', unacknowledged);
  }
  return retry;
}

function checkTokens(list, name) {
  if (list === undefined) return;
  if (!Array.isArray(list)) throw errors.invalidArgType(name, 'an instance of Array', list);
  list.forEach((item, index) => {
    if (typeof item !== 'string') throw errors.invalidArgType(`${name}[${index}]`, 'of type string', item);
    if (!TOKEN.test(item))
      throw errors.invalidArgValue(`${name}[${index}]`, item, 'must be a valid HTTP token');
  });
}

/** Takes down what holds for a request: its own option, or the agent's. */
function setPolicy(request, own, agents) {
  request[kPolicy] = toPolicy(isOurs(own) ? own : agents, 'options.retry');
}

/**
 * Whether a request's `retry` is meant for its agent. Client libraries pass all of their own options on to
 * `http.request()`, and some mean their own repetitions by it: a number, `true`, or an object that says more than ours.
 */
function isOurs(retry) {
  if (typeof retry !== 'object' || retry === null) return retry === false || typeof retry === 'string';
  const names = Object.keys(retry);
  return names.length > 0 && names.every((name) => MEMBERS.has(name));
}

/** What holds for a request. One that came past addRequest() is not sent twice. */
function policyOf(request) {
  return request[kPolicy] ?? NEVER;
}

module.exports = { policyOf, setPolicy, toPolicy };
