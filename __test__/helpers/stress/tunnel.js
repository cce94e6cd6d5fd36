'use strict';

// A request of the stress run that has become a tunnel to an echo: what its caller writes has to come back.

const { setImmediate: nextTurn } = require('node:timers/promises');

class Tunnel {
  /** Bytes that have come back, whether each is right, and whether they are all. */
  received = 0;
  isRight = true;
  isWhole = false;
  #sent;
  #socket;
  #end;

  /** `socket` is the caller's from now on, and `head` has come from it; `closed` is called when it has closed. */
  constructor({ id, tunnel }, socket, head, closed) {
    this.#sent = contentOf(id, tunnel);
    this.#socket = socket;
    this.#end = tunnel.end;
    socket.on('error', () => {}).on('close', closed);
    socket.on('end', () => socket.end());
    if (head.length > 0) this.#take(head);
    socket.on('data', (chunk) => this.#take(chunk));
    this.#write(tunnel.pieces);
  }

  async #write(pieces) {
    const size = Math.ceil(this.#sent.length / pieces);
    for (let at = 0; at < this.#sent.length; at += size) {
      this.#socket.write(this.#sent.subarray(at, at + size));
      await nextTurn();
    }
    this.#finishIfWhole();
  }

  #take(chunk) {
    const due = this.#sent.subarray(this.received, this.received + chunk.length);
    if (!due.equals(chunk)) this.isRight = false;
    this.received += chunk.length;
    this.#finishIfWhole();
  }

  #finishIfWhole() {
    if (this.received < this.#sent.length) return;
    this.isWhole = true;
    this.#socket[this.#end]();
  }
}

function contentOf(id, { size }) {
  return Buffer.alloc(size, `${id}>`);
}

function headersOfTunnel({ method }) {
  return method === 'CONNECT' ? {} : { Connection: 'Upgrade', Upgrade: 'echo' };
}

module.exports = { Tunnel, headersOfTunnel };
