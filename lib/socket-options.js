'use strict';

// Options of the socket that a program sets on a lane: they hold for each connection that comes under it.

const { op } = require('./records');

/** In the place of a delay: no keep-alive probes. */
const NO_PROBES = -1;

class SocketOptions {
  #parts;
  #noDelay;
  #keepAlive;
  /** In seconds. */
  #keepAliveDelay;

  constructor(parts) {
    const { route } = parts;
    this.#parts = parts;
    this.#noDelay = route.noDelay;
    this.#keepAlive = route.keepAlive !== undefined;
    this.#keepAliveDelay = Math.trunc((route.keepAlive ?? 0) / 1000);
  }

  setNoDelay(enable) {
    const on = enable === undefined ? true : Boolean(enable);
    if (on === this.#noDelay) return;
    this.#noDelay = on;
    this.#tellNoDelay();
  }

  setKeepAlive(enable, initialDelay) {
    const on = Boolean(enable);
    const seconds = ~~(initialDelay / 1000);
    if (on === this.#keepAlive && (!on || seconds === this.#keepAliveDelay)) return;
    this.#keepAlive = on;
    this.#keepAliveDelay = seconds;
    this.#tellKeepAlive();
  }

  /** Another connection is under the lane, with the options of its route. */
  tellAnew() {
    const { route } = this.#parts;
    if (this.#noDelay !== route.noDelay) this.#tellNoDelay();
    if (this.#keepAlive !== (route.keepAlive !== undefined)) this.#tellKeepAlive();
  }

  #tellNoDelay() {
    const { connection, place } = this.#parts;
    connection.onceEstablished(() => place.row(op.NO_DELAY, Number(this.#noDelay), 0));
  }

  #tellKeepAlive() {
    const { connection, place } = this.#parts;
    connection.onceEstablished(() => {
      const delay = this.#keepAlive ? this.#keepAliveDelay * 1000 : NO_PROBES;
      place.row(op.KEEP_ALIVE, delay, 0);
    });
  }
}

module.exports = SocketOptions;
