'use strict';

// What an error says beyond Node's own members: `reason`, one of a closed list, and `connection`, what is
// known of the connection then (docs/errors.md).

const { EventEmitter } = require('node:events');
const { runInThisContext } = require('vm');

const { closeReason } = require('../crossing/records');

/** What Node's errors are, also where a test runner has loaded this into a context with an `Error` of its own. */
const NodesError = runInThisContext('Error');

/** The spelling of each reason, by its number. */
const NAMES = new Map(
  Object.entries(closeReason).map(([name, number]) => [number, name.toLowerCase().replaceAll('_', '-')]),
);

/** What explains the errors of a request. */
const explanations = new WeakMap();

/** How a reason is spelled. */
function nameOf(reason) {
  return NAMES.get(reason);
}

/** Rows of a name and a value, as the native side gives them, as an object; without those that say nothing of a connection. */
function parse(text) {
  const facts = {};
  if (text === '') return facts;
  for (const row of text.split('\n')) {
    const [name, value] = row.split('\t');
    if (name !== 'reason' && name !== 'attempts') facts[name] = toValue(value);
  }
  return facts;
}

/** Whether they are the facts of a request that was sent again. */
function isResent(text) {
  return text.endsWith('\nattempts\t2');
}

function toValue(text) {
  if (text === 'true' || text === 'false') return text === 'true';
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** The number of the reason in the facts of a loss; undefined if they have none. */
function reasonIn(text) {
  const [, number] = /^reason\t(\d+)/.exec(text) ?? [];
  return number && Number(number);
}

/**
 * Puts `reason` and `connection` on an error, enumerable so that they are printed. The program's own errors
 * (`isOurs` is false) and those of TLS and of the parser, which have a `reason` of another meaning, get it
 * within `connection` alone.
 */
function explain(error, reason, facts, isOurs) {
  if (!isError(error) || !Object.isExtensible(error) || 'connection' in error) return;
  const name = NAMES.get(reason);
  if (isOurs && !OTHERS.has(reason) && !('reason' in error)) error.reason = name;
  error.connection = { reason: name, ...facts };
  if (PEER_CLOSED.has(reason) && error.code === 'ECONNRESET' && error.syscall === undefined) {
    // "socket hang up" is Node's word for an end by either side. Where only the first line is printed,
    // that of the server must not look like that of whoever destroys a request when its time is up.
    Object.defineProperty(error, 'name', { value: 'PeerClosedError', configurable: true, writable: true });
  }
}

function isError(value) {
  return value instanceof Error || value instanceof NodesError;
}

/** Of errors whose `reason` says something else. */
const OTHERS = new Set([closeReason.INVALID_RESPONSE, closeReason.TLS_FAILED]);
/** The server has ended it, in good order. */
const PEER_CLOSED = new Set([closeReason.PEER_CLOSED_IDLE, closeReason.PEER_FIN]);

/**
 * Has the errors explained that Node makes of a loss by itself: 'socket hang up' on the request, 'aborted'
 * on its response, which may be read only after that. What is said last of a request holds. A listener would be seen by
 * who lists them, and by who has put a function of his own into the place of `emit`: so each has an `emit` of its own until
 * its error comes.
 */
function explainLater(request, tell) {
  const isFirst = !isExplained(request);
  explanations.set(request, tell);
  if (!isFirst) return;
  const explainIt = (error) => explanations.get(request)(error);
  explainNext(request, explainIt);
  if (request.res) explainNext(request.res, explainIt);
}

/** Whether that is said of the request. */
function isExplained(request) {
  return explanations.has(request);
}

function explainNext(emitter, tell) {
  const own = Object.getOwnPropertyDescriptor(emitter, 'emit');
  if (own?.configurable === false) return;
  const { emit: inner } = emitter;
  let isOver = false;
  const value = function emit(...args) {
    // A program may emit it as well, with whatever it likes.
    if (!isOver && args[0] === 'response' && args[1] instanceof EventEmitter) explainNext(args[1], tell);
    const error = isOver ? undefined : errorOf(emitter, args);
    if (error) {
      isOver = true;
      // Who has put his own function before this one keeps it.
      if (emitter.emit === value) restore(emitter, own);
      tell(error);
    }
    return inner.apply(this, args);
  };
  Object.defineProperty(emitter, 'emit', { value, writable: true, configurable: true, enumerable: false });
}

/** The error that an event tells of. Where nobody listens to a response, its 'error' never comes, but it has one. */
function errorOf(emitter, [event, argument]) {
  if (event === 'error') return argument;
  return event === 'aborted' ? emitter.errored : undefined;
}

function restore(emitter, own) {
  if (own === undefined) delete emitter.emit;
  else Object.defineProperty(emitter, 'emit', own);
}

/** Where a socket leads from and to; nothing for one that is not connected, or over a Unix socket. */
function addressesOf({ localAddress, localPort, remoteAddress, remotePort }) {
  return remoteAddress === undefined ? {} : { localAddress, localPort, remoteAddress, remotePort };
}

module.exports = {
  NAMES,
  addressesOf,
  explain,
  explainLater,
  isExplained,
  isResent,
  nameOf,
  parse,
  reasonIn,
};
