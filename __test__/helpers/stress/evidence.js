'use strict';

// What the server of a stress run has seen in one round.

const { socketStates } = require('../blocked');

/** Records of TLS behind which a connection lives on. */
const HARMLESS = ['warning', 'ticket', 'key-update'];
/** How many events are told of each connection. */
const TOLD = 20;

class Evidence {
  #events;
  #connections = new Map();
  #ports = new Map();
  #beginnings = new Map();
  #endings = new Map();
  #arrivals = new Map();

  constructor(events) {
    this.#events = events;
    for (const { host, port, connection } of this.ofType('accept')) {
      // A port may come again: the last one counts.
      this.#connections.set(`${host}:${port}`, connection);
      this.#ports.set(connection, port);
    }
    for (const { connection, at, action } of this.ofType('ending'))
      if (!HARMLESS.includes(action) && !this.#beginnings.has(connection))
        this.#beginnings.set(connection, at);
    for (const { connection, at, record } of this.ofType('closed'))
      if (!HARMLESS.includes(record) && !this.#endings.has(connection)) this.#endings.set(connection, at);
    for (const event of this.ofType('request'))
      this.#arrivals.set(event.id, [...(this.#arrivals.get(event.id) ?? []), event]);
  }

  ofType(...types) {
    return this.#events.filter(({ type }) => types.includes(type));
  }

  /** How often, and on which connections, a request came, in the order in which it was sent. */
  arrivals(id) {
    const arrivals = this.#arrivals.get(id) ?? [];
    const [first, second] = arrivals;
    // A server that has ended a connection may read what crossed that end later than the repetition.
    const isOvertaken = second?.nth > 1 && this.beginningOfEnd(second.connection) <= first.at;
    return isOvertaken && first.nth === 1 ? [second, first, ...arrivals.slice(2)] : arrivals;
  }

  /** The number of the connection of a call, as far as is known. */
  connectionOf({ plan, localPort }) {
    return this.#connections.get(`${plan.host}:${localPort}`);
  }

  /** The client's port of a connection. */
  portOf(connection) {
    return this.#ports.get(connection);
  }

  /** When the server began to end a connection, or to say on it what ends it. */
  beginningOfEnd(connection) {
    return this.#beginnings.get(connection) ?? Infinity;
  }

  /** When that was in the hands of the kernel. */
  endOf(connection) {
    return this.#endings.get(connection) ?? Infinity;
  }

  /** Whether the client has ended a connection without a word. */
  isProbe(number) {
    const types = this.#events.flatMap(({ connection, type }) => (connection === number ? type : []));
    const isUsed = ['secure', 'request', 'stray'].some((type) => types.includes(type));
    return types.includes('client-fin') && !isUsed;
  }

  /** Whether an address refused connections at some time between these two. */
  wasRefusing(host, from, to = Infinity) {
    const times = (type) => this.ofType(type).flatMap((event) => (event.host === host ? event.at : []));
    const ends = times('listening');
    return times('refusing').some((at, i) => at <= to && (ends[i] ?? Infinity) >= from);
  }

  /** Addresses that refuse connections now. */
  get refusing() {
    return this.ofType('refusing').slice(this.ofType('listening').length);
  }

  /** Connections that the server has not seen the end of. */
  get open() {
    const ended = new Set(this.ofType('client-fin', 'gone').map(({ connection }) => connection));
    return this.ofType('accept').filter(({ connection }) => !ended.has(connection));
  }

  /** The last that was seen of a connection, and the state of the client's end of it in the kernel. */
  lifeOf(number) {
    return `${this.#tell(({ connection }) => connection === number)} ${socketStates(this.portOf(number)).slice(0, 3)}`;
  }

  /** The last that was seen of a call, and of the connections that it had to do with, on a line each. */
  historyOf(call) {
    const connections = new Set(this.arrivals(call.id).map(({ connection }) => connection));
    connections.add(this.connectionOf(call)).delete(undefined);
    const seen = [...connections].map((number) =>
      this.#tell(({ connection, id }) => connection === number || id === call.id),
    );
    return seen.length > 0 ? seen : [this.#tell(({ id }) => id === call.id)];
  }

  #tell(isWanted) {
    return this.#events
      .filter(isWanted)
      .slice(-TOLD)
      .map(({ at, ...event }) => `${at.toFixed(1)} ${JSON.stringify(event)}`)
      .join(' ');
  }
}

module.exports = { Evidence };
