'use strict';

// The callback that Node's agent gives to createConnection().

const { Agent } = require('http');

const { isNodes } = require('./functions');

/** Its text, once it has been asked for. */
let nodesText;

/**
 * Whether a callback of createConnection is that of Node's own createSocket, which a subclass may have
 * passed on. It does nothing once a socket has been returned. Any other is a listener for 'connect', and
 * may be a guard. Node makes its callback anew each time, out of one function whose text is no program's.
 */
function isNodesCallback(callback) {
  if (!isNodes.createSocket(Agent.prototype.createSocket)) return false;
  nodesText ??= capture();
  return String(callback) === nodesText;
}

function capture() {
  let text;
  const probe = new Agent();
  probe.createConnection = (options, callback) => {
    text = String(callback);
  };
  probe.createSocket({ getHeader() {} }, {}, () => {});
  return text;
}

module.exports = { isNodesCallback };
