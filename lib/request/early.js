'use strict';

// A finished request leaves at once. ClientRequest gets its socket a tick after it was made, and keeps
// what is written until then; if JavaScript computes before that tick ends, nothing has left. So what it
// keeps is handed to the lane as it comes. The socket, its events and its callbacks keep Node's times: when
// the request has the lane and writes the same bytes to it, the lane knows that they are on their way.

const { isNodes } = require('../node/functions');

const kLane = Symbol('lane');

/** RFC 9110 section 9.2.1. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Whether the agent's options let what this request writes leave before it has its socket. */
function sendsEarly(agent, request) {
  const { sendEarly } = agent.options;
  if (sendEarly === false || (sendEarly !== 'all' && !SAFE.has(request.method))) return false;
  // Who has put a function of his own in the way may do something to the socket first.
  return isNodes.createSocket(agent.createSocket);
}

/** The same of a request that has been given its lane. */
function mayLeaveEarly(agent, request) {
  return sendsEarly(agent, request) && isNodes.onSocket(request.onSocket);
}

/** `lane` has just been given to `request`, which will learn of it in the next tick. */
function leaveEarly(request, lane) {
  lane._openNow();
  request[kLane] = lane;
  // Node tells this function of the bytes that it keeps: how many have come, and at last that all are gone.
  request._onPendingData = onPendingData;
  if (request.outputData.length > 0) onPendingData.call(request, request.outputSize);
}

function onPendingData(amount) {
  // Who has destroyed a request may write to it on, which goes nowhere: the lane may have become another's.
  if (amount < 0 || this.destroyed) {
    this._onPendingData = nothing;
    this[kLane] = undefined;
    return;
  }
  // A listener may write to the socket before Node does.
  if (this[kLane] !== undefined && this.listenerCount('socket') === 0)
    this[kLane]._writeEarly(this, this.outputData);
}

function nothing() {}

module.exports = { leaveEarly, mayLeaveEarly, sendsEarly };
