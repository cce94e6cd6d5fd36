'use strict';

// The short way of a lane that a request has let go of: what Node's listener for the agent's 'free' does, without
// the name of the pool made three times. It is taken where nobody else has a say; everything else is Node's. The
// other direction is add.js.

const Lane = require('../lane/lane');
const { isIdleKnown, isKnown } = require('../node/client');
const { isQueueKnown, leaveQueue } = require('../node/queued');
const { poolName } = require('./pool-name');

/** Gives the lane to the next request that waits for it and returns true; false if Node's way has to be taken. */
function passOn(agent, lane, options) {
  if (!(lane instanceof Lane) || !isKnown() || !isQueueKnown() || !lane.writable) return false;
  const name = poolName(agent, options);
  const waiting = agent.requests[name];
  if (waiting === undefined || waiting.length === 0) return false;
  leaveQueue(waiting.shift(), serve, agent, lane);
  if (waiting.length === 0) delete agent.requests[name];
  return true;
}

function serve(request, agent, lane) {
  request.onSocket(lane);
  const { timeout } = request;
  if (timeout !== undefined && timeout !== (agent.options.timeout || 0)) lane.setTimeout(timeout);
}

/** Puts the lane, for which nobody waits, among the idle ones and returns true; false if Node's way has to be taken. */
function releaseLane(agent, lane, options) {
  if (!(lane instanceof Lane) || !isIdleKnown() || !lane.writable) return false;
  const request = lane._httpMessage;
  if (request === null || !request.shouldKeepAlive || !agent.keepAlive) return false;

  const name = poolName(agent, options);
  const busy = agent.sockets[name];
  const idle = agent.freeSockets[name];
  const index = busy === undefined ? -1 : busy.indexOf(lane);
  if (index === -1) return false;
  const idleCount = idle === undefined ? 0 : idle.length;
  const isFull =
    agent.totalSocketCount > agent.maxTotalSockets ||
    busy.length + idleCount > agent.maxSockets ||
    idleCount >= agent.maxFreeSockets;
  if (isFull) return false;
  if (!agent.keepSocketAlive(lane)) {
    lane.destroy();
    return true;
  }
  lane._httpMessage = null;
  busy.splice(index, 1);
  if (busy.length === 0) delete agent.sockets[name];
  lane._noteIdleListener();
  if (idle !== undefined) idle.push(lane);
  agent.freeSockets[name] = idle ?? [lane];
  return true;
}

module.exports = { passOn, releaseLane };
