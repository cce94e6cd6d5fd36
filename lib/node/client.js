'use strict';

// The functions that Node's ClientRequest and Agent put on every socket, and into every parser. None of them
// is exported, but Node hands each of them to a lane in the course of the first exchange, and they are the
// same ones for all exchanges of the process. Who knows them can take the short ways (light-listeners.js,
// plain-response.js, release.js). If this Node has other ones than are known here, nothing is learned, and
// everything goes Node's way.

const { maxHeaderSize } = require('http');

/** The last Node major that the short ways have been compared with. */
const LAST_MAJOR = 26;

/** The functions of a parser, by their names. */
const PARSER_FUNCTIONS = {
  onHeaders: 'parserOnHeadersComplete',
  onBody: 'parserOnBody',
  onComplete: 'parserOnMessageComplete',
};
/** How many such functions a parser has at most. */
const PLACES = 8;

/** The head of what Rust takes apart is no longer than this (src/exchange/plain.rs). */
const MAX_HEAD = 4096;

/** The listeners on a busy socket, in the order in which Node adds them. */
const LISTENERS = [
  ['error', 'socketErrorListener'],
  ['data', 'socketOnData'],
  ['end', 'socketOnEnd'],
  ['close', 'socketCloseListener'],
  ['drain', 'ondrain'],
  ['timeout', 'responseOnTimeout'],
];
/** That for errors on an idle one, and that for the timeout of a request that has one. */
const IDLE_LISTENER = 'freeSocketErrorListener';
const TIMEOUT_LISTENER = 'emitRequestTimeout';

const isKnownNode = Number(process.versions.node.split('.')[0]) <= LAST_MAJOR && maxHeaderSize >= MAX_HEAD;

/** By event, and the two others; undefined until Node has handed it over. */
const listeners = Object.fromEntries(
  [...LISTENERS.map(([event]) => event), 'idleError', 'requestTimeout'].map((key) => [key, undefined]),
);

/** The functions of a parser, and where they are; undefined until one was seen. */
let parserFunctions;

let missing = LISTENERS.length;

/** Whether there is something left to learn of the listeners on a busy socket. */
function isLearning() {
  return missing > 0 && isKnownNode;
}

/** Node itself adds `listener` to a lane. */
function learnListener(event, listener) {
  const [, name] = LISTENERS.find(([known]) => known === event) ?? [];
  if (listeners[event] !== undefined || name === undefined || listener?.name !== name) return;
  listeners[event] = listener;
  missing--;
}

/** The same of an idle one: where requests wait, a process may never have one. */
function isLearningIdle() {
  return listeners.idleError === undefined && isKnownNode;
}

/** Node itself has added `listener` for errors to a lane that is idle now. */
function learnIdleListener(listener) {
  if (listener?.name === IDLE_LISTENER) listeners.idleError = listener;
}

/** Node has put a request with a timeout on its socket, and keeps the listener for that on the request. */
function learnTimeoutListener({ timeoutCb }) {
  if (timeoutCb?.name === TIMEOUT_LISTENER && isKnownNode) listeners.requestTimeout = timeoutCb;
}

/** What a parser is made of, this one as every other; null if it is not as known. */
function functionsOf(parser) {
  if (parserFunctions === undefined && isKnownNode) parserFunctions = learnParser(parser);
  return parserFunctions ?? null;
}

function learnParser(parser) {
  const found = { execute: parser.execute, onIncoming: parser.onIncoming };
  for (const [key, name] of Object.entries(PARSER_FUNCTIONS)) {
    for (let place = 0; place < PLACES; place++) {
      if (parser[place]?.name === name) [found[key], found[`${key}At`]] = [parser[place], place];
    }
    if (found[key] === undefined) return null;
  }
  return found.onIncoming?.name === 'parserOnIncomingClient' ? found : null;
}

/** Whether all of it is known that a busy socket needs. */
function isKnown() {
  return missing === 0 && parserFunctions != null;
}

/** The same, and what an idle one needs. */
function isIdleKnown() {
  return isKnown() && listeners.idleError !== undefined;
}

module.exports = {
  functionsOf,
  isIdleKnown,
  isKnown,
  isLearning,
  isLearningIdle,
  learnIdleListener,
  learnListener,
  learnTimeoutListener,
  listeners,
};
