'use strict';

// Whether Node's agent would go through a proxy, by the environment that its option `proxyEnv` was when it was made. Node
// keeps what it has read of that, and with it the rules for NO_PROXY, under a symbol of its own.

// Looked up now: a program may put our classes into their place later.
const { Agent } = require('http');

const process = require('./process');

/** That symbol; undefined until it was asked for, null in a Node that has none. */
let symbol;

function findSymbol() {
  const usual = Object.getOwnPropertySymbols(new Agent());
  const symbols = Object.getOwnPropertySymbols(new Agent({ proxyEnv: {} }));
  return symbols.find((own) => !usual.includes(own)) ?? null;
}

/** Whether it would for a connection by these options; also if that cannot be told. */
function usesProxy(agent, options) {
  if (symbol === undefined) symbol = findSymbol();
  // Older Nodes do not know the option; those that may come may keep it elsewhere.
  if (symbol === null) return options.proxyEnv != null && isKnownToNode();
  const config = agent[symbol];
  if (config == null || options.socketPath) return false;
  const host = options.host || 'localhost';
  if (typeof config.shouldUseProxy !== 'function' || typeof host !== 'string') return true;
  return config.shouldUseProxy(host, options.port);
}

function isKnownToNode() {
  return process.allowedNodeEnvironmentFlags.has('--use-env-proxy');
}

module.exports = { usesProxy };
