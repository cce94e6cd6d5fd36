'use strict';

// How a request gets a lane that has served another. Node puts its listeners on the socket and takes a parser
// for each request; on a lane whose answers Rust can read (plain-response.js) neither is of use. So the lane
// notes the listeners (light-listeners.js), and a parser is made only if bytes come that it has to read.
// What a program can see is Node's: the same members at the same times, the same events in the same order.

const { ClientRequest } = require('http');

const crossing = require('../crossing/crossing');
const { isKnown, learnTimeoutListener, listeners } = require('../node/client');
const { atOnce } = require('../node/clock');
const { isNodes } = require('../node/functions');
const process = require('../node/process');

/** Whether Node puts a request on its socket at once, and not in the next tick (in newer Nodes it does). */
let isAtOnce;

/** Puts the request on the lane, as its `onSocket` does. */
function attach(request, lane, onSocket) {
  if (!mayBeLight(request, lane, onSocket)) {
    onSocket.call(request, lane);
    isAtOnce ??= lane._httpMessage === request;
    if (listeners.requestTimeout === undefined && request.timeout !== undefined)
      process.nextTick(learnTimeoutListener, request);
    return;
  }
  if (isAtOnce) {
    lane._httpMessage = request;
    lane._noteErrorListener();
  }
  process.nextTick(attachLightly, request, lane);
}

function mayBeLight(request, lane, onSocket) {
  return (
    lane._mayBeLight &&
    !lane.destroyed &&
    isAtOnce !== undefined &&
    isKnown() &&
    isNodes.onSocket(onSocket) &&
    (listeners.requestTimeout !== undefined || request.timeout === undefined) &&
    // With such an agent, as Node's global one is, a program finds the parser of each request.
    !request.agent?.options?.timeout &&
    request.maxHeaderSize === undefined &&
    request.insecureHTTPParser === undefined &&
    request.method !== 'CONNECT'
  );
}

function attachLightly(request, lane) {
  if (request.destroyed) {
    // It will be added once more.
    if (isAtOnce) lane.removeListener('error', listeners.error);
    // Node's way takes one tick more. Until then what has left early may be taken back.
    crossing.prolongTick();
    request.onSocket(lane);
    return;
  }
  request.socket = lane;
  lane._becomeLight(request, !isAtOnce);
  if (request.timeout !== undefined && !request.timeoutCb) {
    request.timeoutCb = listeners.requestTimeout;
    lane._noteRequestTimeout();
  }
  request.emit('socket', lane);
  request._flush();
}

/** A parser of Node's, in the state in which Node gives one to a request. */
function parserFor({
  maxHeaderSize,
  insecureHTTPParser,
  httpValidation,
  joinDuplicateHeaders,
  maxHeadersCount,
}) {
  const request = {
    __proto__: ClientRequest.prototype,
    maxHeaderSize,
    insecureHTTPParser,
    httpValidation,
    joinDuplicateHeaders,
    maxHeadersCount,
    destroyed: false,
    emit() {},
    _flush() {},
  };
  const socket = { on() {}, parser: null };
  atOnce(() => request.onSocket(socket));
  return socket.parser;
}

/** What Node does with a parser that it has no use for; not from within one of its callbacks. */
function discardParser(lane) {
  const { parser } = lane;
  const { outgoing } = parser;
  lane.parser = null;
  if (outgoing?.parser === parser) outgoing.parser = null;
  Object.assign(parser, { socket: null, incoming: null, outgoing: null });
  parser.remove();
  parser.close();
}

module.exports = { attach, discardParser, parserFor };
