'use strict';

// Options of the socket that a program sets on a lane: they hold for each connection that comes under it.

const { Socket } = require('net');

const errors = require('../errors');
const { op } = require('../crossing/records');

/** Newer Nodes let a program say how often keep-alive probes are sent, and how many; also as one object. */
const TAKES_PROBES = Socket.prototype.setKeepAlive.length > 2;

/** In the place of a delay: no keep-alive probes. */
const NO_PROBES = -1;
/** In seconds, and how many: those of libuv. */
const INTERVAL = 1;
const COUNT = 10;
/** A row has room for as much. The systems take less, and leave all as it is where they are given more. */
const MAX_INTERVAL = 0xffff;
const MAX_COUNT = 0xff;

/** The system keeps these bits of the type of service for itself (ECN). */
const RESERVED = process.platform === 'linux' ? 3 : 0;

class SocketOptions {
  #parts;
  #noDelay;
  /** `{ delay, interval, count }`, in seconds; undefined: none. */
  #probes;
  #typeOfService;

  constructor(parts) {
    const { route } = parts;
    this.#parts = parts;
    this.#noDelay = route.noDelay;
    if (route.keepAlive !== undefined) this.#probes = probesOf(route.keepAlive);
  }

  setNoDelay(enable) {
    const on = enable === undefined ? true : Boolean(enable);
    if (on === this.#noDelay) return;
    this.#noDelay = on;
    this.#tellNoDelay();
  }

  /** The arguments are those of net.Socket's, in whichever Node runs. */
  setKeepAlive(enable, initialDelay, interval, count) {
    if (!TAKES_PROBES) this.#setProbes(enable ? probesOf(initialDelay) : undefined);
    else if (enable !== null && typeof enable === 'object')
      this.setKeepAlive(Boolean(enable.enable), enable.initialDelay, enable.interval, enable.count);
    else this.#setProbes(enable ? probesOf(initialDelay, interval, count) : undefined);
  }

  #setProbes(probes) {
    if (isSame(probes, this.#probes)) return;
    this.#probes = probes;
    this.#tellKeepAlive();
  }

  setTypeOfService(tos) {
    if (Number.isNaN(tos)) throw errors.invalidArgType('tos', 'of type number', tos);
    errors.checkInteger(tos, 'tos', 0, 255);
    if (tos === this.#typeOfService) return;
    this.#typeOfService = tos;
    this.#tellTypeOfService();
  }

  /** As the connection has it, or as it will. */
  getTypeOfService() {
    const tos = this.#typeOfService ?? 0;
    const { connection, place } = this.#parts;
    return connection.isEstablished && !place.isLeft ? tos & ~RESERVED : tos;
  }

  /** What is not as the route has it. */
  get #changes() {
    const { noDelay, keepAlive } = this.#parts.route;
    return {
      noDelay: this.#noDelay !== noDelay,
      keepAlive: !isSame(this.#probes, keepAlive === undefined ? undefined : probesOf(keepAlive)),
      typeOfService: this.#typeOfService !== undefined,
    };
  }

  /** Another connection is under the lane, with the options of its route. */
  tellAnew() {
    const { noDelay, keepAlive, typeOfService } = this.#changes;
    if (noDelay) this.#tellNoDelay();
    if (keepAlive) this.#tellKeepAlive();
    if (typeOfService) this.#tellTypeOfService();
  }

  /** A socket of Node's that connects is under the lane, with the options of its route. */
  tellNodes(socket) {
    const { noDelay, keepAlive, typeOfService } = this.#changes;
    if (noDelay) socket.setNoDelay(this.#noDelay);
    if (keepAlive) {
      const { delay, interval, count } = this.#probes ?? {};
      socket.setKeepAlive(this.#probes !== undefined, delay * 1000, interval * 1000, count);
    }
    // Before it is connected Node refuses this one.
    if (typeOfService) socket.once('connect', () => socket.setTypeOfService(this.#typeOfService));
  }

  #tellNoDelay() {
    const { connection, place } = this.#parts;
    connection.onceEstablished(() => place.row(op.NO_DELAY, Number(this.#noDelay), 0));
  }

  #tellKeepAlive() {
    const { connection, place } = this.#parts;
    connection.onceEstablished(() => {
      const { delay, interval, count } = this.#probes ?? { delay: NO_PROBES, interval: 0, count: 0 };
      place.row(op.KEEP_ALIVE, delay, (Math.min(interval, MAX_INTERVAL) << 8) | Math.min(count, MAX_COUNT));
    });
  }

  #tellTypeOfService() {
    const { connection, place } = this.#parts;
    connection.onceEstablished(() => place.row(op.TYPE_OF_SERVICE, this.#typeOfService, 0));
  }
}

/** From times in ms. Of an interval or a count that is no number of probes Node knows nothing. */
function probesOf(delay, interval, count) {
  const seconds = interval === undefined ? INTERVAL : ~~(interval / 1000);
  return {
    delay: Math.max(~~(delay / 1000), 0),
    interval: isCount(seconds) ? seconds : INTERVAL,
    count: isCount(count) ? count : COUNT,
  };
}

function isSame(one, other) {
  return one?.delay === other?.delay && one?.interval === other?.interval && one?.count === other?.count;
}

function isCount(value) {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

module.exports = SocketOptions;
