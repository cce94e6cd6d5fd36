'use strict';

// The only place where the variants differ.

const http = require('node:http');
const { maxSockets } = require('./settings');

// Each is given its own best equivalent of an idle limit. http.Agent has only `timeout`, which is a limit
// on busy sockets too, but there it merely emits 'timeout' on the request, and nobody here acts on that.
const factories = {
  'http.Agent': (idleLimit) =>
    new http.Agent({ keepAlive: true, maxSockets, ...(idleLimit && { timeout: idleLimit }) }),

  agentkeepalive: (idleLimit) => {
    const AgentKeepAlive = require('agentkeepalive');
    return new AgentKeepAlive({
      keepAlive: true,
      maxSockets,
      ...(idleLimit && { freeSocketTimeout: idleLimit }),
    });
  },

  offloop: (idleLimit) => {
    const { HttpAgent } = require('../..');
    return new HttpAgent({ keepAlive: true, maxSockets, ...(idleLimit && { freeSocketTimeout: idleLimit }) });
  },
};

const agentNames = Object.keys(factories);

/** @param {number} [idleLimit] ms; without it the agent keeps its own default */
function createAgent(name, idleLimit) {
  return factories[name](idleLimit);
}

module.exports = { agentNames, createAgent };
