'use strict';

const fs = require('node:fs');

// include/net/tcp_states.h
const ESTABLISHED = 0x01;

/**
 * What the kernel knows of our connections to a port at one moment (Linux; elsewhere nothing is known). It
 * tells a close that had arrived, unread, when a request was made from one that crossed it on the wire.
 */
class KernelView {
  /** Local port to TCP state; null where it cannot be known. */
  #states;
  #usedBefore;

  constructor(states, usedBefore) {
    this.#states = states;
    this.#usedBefore = usedBefore;
  }

  /** @param {Set<number>} usedBefore the local ports of the connections made so far */
  static take(remotePort, usedBefore) {
    const states = new Map();
    let known = false;
    for (const file of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
      let text;
      try {
        text = fs.readFileSync(file, 'latin1');
      } catch {
        continue;
      }
      known = true;
      // sl local_address rem_address st …, addresses as hex:hex
      for (const line of text.split('\n').slice(1)) {
        const [, local, remote, state] = line.trim().split(/\s+/);
        if (remote && portOf(remote) === remotePort) states.set(portOf(local), parseInt(state, 16));
      }
    }
    return new KernelView(known ? states : null, usedBefore);
  }

  /** 'open', 'closed' by the server (FIN or reset; a reset connection is not listed at all), or 'unknown'. */
  stateOf(localPort) {
    if (!this.#states || localPort === undefined) return 'unknown';
    // Opened later than this view, for a request that had to wait for its turn.
    if (!this.#usedBefore.has(localPort)) return 'open';
    return this.#states.get(localPort) === ESTABLISHED ? 'open' : 'closed';
  }
}

function portOf(address) {
  return parseInt(address.slice(address.indexOf(':') + 1), 16);
}

module.exports = { KernelView };
