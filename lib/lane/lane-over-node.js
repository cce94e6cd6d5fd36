'use strict';

// A lane that can leave Rust, for what only Node's TLS can do: it goes on as a thin layer over a socket of Node's. What
// it has written by then, and what Rust hands back of that, is written to that one.

const errors = require('../errors');
const { addressesOf } = require('../request/facts');
const Lane = require('./lane');
const { FACT_ROWS, reasonOf } = require('./node-socket');
const { closeReason } = require('../crossing/records');

class LaneOverNode extends Lane {
  #connectByNode;
  /** Node's socket, if the lane is on one. */
  #nodes;
  /** Bytes that Rust has handed back. */
  #unsent = [];
  /** What has been asked of the socket before it was opened, and only Node's can do. */
  #asked = [];

  /** `connectByNode(lane, reason)` makes Node's socket. */
  constructor(agent, plan, options, connectByNode) {
    super(agent, plan, options);
    this.#connectByNode = connectByNode;
  }

  // ---- The way there.

  /** Node's socket, if there is one. */
  get _nodeSocket() {
    return this.#nodes;
  }

  /** Has Node's socket do what rustls cannot. Before the socket is opened it can still be Node's. */
  _askNode(name, ...args) {
    if (this.#nodes !== undefined) this.#nodes[name](...args);
    else if (this._isOpened)
      throw errors.coded(Error, 'ERR_TLS_INVALID_STATE', `${name}() comes too late for this socket`);
    else this.#asked.push({ name, args });
  }

  /** What was asked for by then, if anything: it has to be Node's socket. */
  get _asked() {
    return this.#asked[0]?.name;
  }

  /** These bytes have not been sent. */
  _takeUnsent(bytes) {
    this.#unsent.push(bytes);
  }

  /**
   * Lets go of Rust. `reason`: why there is nothing of Rust's yet. What is written comes to `_meetNodes()`, which knows
   * when Node's socket may have it.
   */
  _goToNode(reason) {
    const { pieces, written, final } = this._detach();
    const socket = this.#connectByNode(this, reason);
    this.#nodes = socket;
    this._connection.goToNode(socket);
    for (const { name, args } of this.#asked) socket[name](...args);
    for (const name of ['keylog', 'session', 'OCSPResponse']) {
      socket.on(name, (...args) => this._inContext(this.emit, name, ...args));
    }
    socket.once('connect', () => this._inContext(this.#onNodesConnect));
    socket.on('data', (chunk) => this._inContext(this.#onNodesData, chunk));
    socket.on('end', () => this._inContext(this.#onNodesEnd));
    socket.on('error', (error) => this.destroy(this._isIdle ? undefined : error));
    socket.on('close', () => this.destroy());
    const send = () => {
      for (const bytes of this.#unsent) socket.write(bytes);
      this.#unsent = [];
      for (const { chunk, encoding } of pieces) socket.write(chunk, encoding || undefined);
      if (written !== undefined) socket.write('', written);
      if (final !== undefined) socket.end(final);
    };
    this._meetNodes(socket, send);
  }

  /** What Node's handshake means for the lane; `send` has it send what is written. */
  _meetNodes() {}

  /** The error of Node's socket is about to be the lane's. */
  _nodesFailed() {}

  #onNodesConnect() {
    this.#takeAddresses();
    if (!this.connecting) return;
    this.connecting = false;
    this._connection.ask(() => this.emit('connect'));
    this.emit('ready');
  }

  #takeAddresses() {
    const addresses = Object.values(addressesOf(this.#nodes));
    if (addresses.length > 0) this._setAddresses(addresses.join('\t'));
  }

  #onNodesData(chunk) {
    if (this._isIdle) {
      // Nobody asked for this, as on a connection of Rust's.
      this.destroy();
      return;
    }
    this._unrefTimer();
    if (!this.push(chunk)) this.#nodes.pause();
  }

  #onNodesEnd() {
    if (this._isIdle) {
      this.destroy();
      return;
    }
    this._noteLoss(closeReason.PEER_FIN, FACT_ROWS);
    this._endReading();
  }

  // ---- What a stream and a socket do, on one or the other.

  _write(chunk, encoding, callback) {
    if (this.#nodes === undefined) super._write(chunk, encoding, callback);
    else {
      this._unrefTimer();
      this.#nodes.write(chunk, encoding, callback);
    }
  }

  _writev(chunks, callback) {
    if (this.#nodes === undefined) {
      super._writev(chunks, callback);
      return;
    }
    this._unrefTimer();
    this.#nodes.cork();
    chunks.forEach(({ chunk, encoding }, at) => {
      this.#nodes.write(chunk, encoding, at === chunks.length - 1 ? callback : undefined);
    });
    this.#nodes.uncork();
  }

  _shutDown(callback) {
    if (this.#nodes === undefined) super._shutDown(callback);
    else this.#nodes.end(callback);
  }

  _read() {
    if (this.#nodes === undefined) super._read();
    else this.#nodes.resume();
  }

  _destroy(error, callback) {
    // A signal that was aborted before destroys the lane while it is being made.
    const nodes = #nodes in this ? this.#nodes : undefined;
    if (nodes !== undefined) {
      if (error && nodes.errored === error) {
        // It may have come by a write's callback as well.
        this._nodesFailed();
        this._noteLoss(reasonOf(error, nodes), FACT_ROWS);
      }
      nodes.destroy();
    }
    super._destroy(error, callback);
  }

  _onTimeout() {
    // Of an idle socket of Node's nobody else knows the time.
    if (this.#nodes === undefined) super._onTimeout();
    else this._tellTimeout();
  }

  ref() {
    this.#nodes?.ref();
    return super.ref();
  }

  unref() {
    this.#nodes?.unref();
    return super.unref();
  }

  get bytesRead() {
    return this.#nodes?.bytesRead ?? super.bytesRead;
  }

  get bytesWritten() {
    return this.#nodes?.bytesWritten ?? super.bytesWritten;
  }
}

module.exports = LaneOverNode;
