'use strict';

// The name of a pool in the books. Node puts it together three times for a request, mostly out of the same
// parts as the last time; and a string that was made before is found in an object without hashing it again.

const { isNodes } = require('../node/functions');

/** What the last name was made of. */
const last = {
  host: undefined,
  port: undefined,
  localAddress: undefined,
  family: undefined,
  socketPath: undefined,
  name: undefined,
};

/** The name of the pool that `options` mean. */
function poolName(agent, options) {
  if (!isNodes.getName(agent.getName)) return agent.getName(options);
  const { host, port, localAddress, family, socketPath } = options;
  if (
    last.name === undefined ||
    host !== last.host ||
    port !== last.port ||
    localAddress !== last.localAddress ||
    family !== last.family ||
    socketPath !== last.socketPath
  ) {
    last.name = agent.getName(options);
    Object.assign(last, { host, port, localAddress, family, socketPath });
  }
  return last.name;
}

module.exports = { poolName };
