'use strict';

// Options of the socket that a program sets on a lane: they hold for each connection that comes under it.

const { op } = require('./records');

/** In the place of a delay: no keep-alive probes. */
const NO_PROBES = -1;

class SocketOptions {
  #route;
  #place;
  #onceConnected;
  #noDelay;
  #keepAlive;
  /** In seconds. */
  #keepAliveDelay;

  /** `onceConnected(tell)` calls its argument as soon as there is a connection, unless the lane is gone. */
  constructor(route, place, onceConnected) {
    this.#route = route;
    this.#place = place;
    this.#onceConnected = onceConnected;
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
    if (this.#noDelay !== this.#route.noDelay) this.#tellNoDelay();
    if (this.#keepAlive !== (this.#route.keepAlive !== undefined)) this.#tellKeepAlive();
  }

  #tellNoDelay() {
    this.#onceConnected(() => this.#place.row(op.NO_DELAY, Number(this.#noDelay), 0));
  }

  #tellKeepAlive() {
    this.#onceConnected(() => {
      const delay = this.#keepAlive ? this.#keepAliveDelay * 1000 : NO_PROBES;
      this.#place.row(op.KEEP_ALIVE, delay, 0);
    });
  }
}

module.exports = SocketOptions;
