'use strict';

const path = require('node:path');
const { Worker } = require('node:worker_threads');

/** The thread of the servers. */
function startServers() {
  const answered = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(path.join(__dirname, 'server.js'), { workerData: answered });
  const asked = new Set();
  const waiting = new Map();
  worker.on('message', ({ what, id, value }) => {
    if (what === 'request') asked.add(id);
    waiting.get(`${what} ${id}`)?.(value);
    waiting.delete(`${what} ${id}`);
  });
  const when = (what, id) => new Promise((resolve) => waiting.set(`${what} ${id}`, resolve));
  return {
    /** A port for one case: what our agents learn of an origin must not reach the next case. */
    listen(id) {
      worker.postMessage({ id, listen: true });
      return when('listening', id);
    },
    close: (id) => worker.postMessage({ id, close: true }),
    asked: (id) => (asked.delete(id) ? undefined : when('request', id)),
    /**
     * The server answers this request by itself: with pieces, so many ms apart, and the connection ends so many ms
     * behind them, if ever.
     */
    prepare(id, pieces, { pause, endsAfter } = {}) {
      worker.postMessage({ id, prepared: { pieces, pause, endsAfter } });
      return when('prepared', id);
    },
    /** How many such answers have been given, as it is seen while JavaScript blocks, too. */
    answered: () => Atomics.load(answered, 0),
    write: (id, bytes) => worker.postMessage({ id, bytes }),
    end: (id, end) => worker.postMessage({ id, end }),
    /** Resolves when it is in the kernel's hands. */
    writeAndWait(id, bytes) {
      worker.postMessage({ id, bytes, tell: true });
      return when('written', id);
    },
    stop: () => worker.terminate(),
  };
}

module.exports = startServers;
