'use strict';

// What a connection depends on besides its options: settings of the process, as they are at the moment.

const dns = require('dns');
const { Agent: NodeAgent } = require('http');
const { Agent: NodeHttpsAgent } = require('https');
const net = require('net');
const tls = require('tls');

const process = require('../node/process');
const { allowsUnauthorized, defaultAnchors, processReason } = require('../tls/process');

/** Whether this Node's permission model knows the network. */
const GUARDS_NETWORK = process.allowedNodeEnvironmentFlags.has('--allow-net');

/** Whether JavaScript has to ask for permission before each connect. */
function asksPermission() {
  return GUARDS_NETWORK && process.permission !== undefined;
}

/** Permissions can be dropped while the program runs. */
function isNetworkDenied() {
  return asksPermission() && !process.permission.has('net');
}

/** By getters, so that decisions.js can see which of them matter, and only those cost time. */
const surroundings = {
  get isNetworkDenied() {
    return isNetworkDenied();
  },
  get lookup() {
    return dns.lookup;
  },
  get resultOrder() {
    return dns.getDefaultResultOrder();
  },
  get selectsFamily() {
    return net.getDefaultAutoSelectFamily();
  },
  get attemptDelay() {
    return net.getDefaultAutoSelectFamilyAttemptTimeout();
  },
  get rawPath() {
    return process.env.OFFLOOP_PATH === 'raw';
  },

  // What Node's agents connect by.
  get createConnection() {
    return NodeAgent.prototype.createConnection;
  },
  get createNetConnection() {
    return net.createConnection;
  },
  get connectSocket() {
    return net.Socket.prototype.connect;
  },
  get createSecureConnection() {
    return NodeHttpsAgent.prototype.createConnection;
  },

  /** Why no TLS of this process can be rustls's, or undefined. */
  get tlsReason() {
    return processReason();
  },
  get checkServerIdentity() {
    return tls.checkServerIdentity;
  },
  get allowsUnauthorized() {
    return allowsUnauthorized();
  },
  get anchors() {
    return defaultAnchors();
  },
  get ciphers() {
    return tls.DEFAULT_CIPHERS;
  },
  get ecdhCurve() {
    return tls.DEFAULT_ECDH_CURVE;
  },
  get minVersion() {
    return tls.DEFAULT_MIN_VERSION;
  },
  get maxVersion() {
    return tls.DEFAULT_MAX_VERSION;
  },
};

module.exports = { asksPermission, isNetworkDenied, surroundings };
