'use strict';

// The client of helpers/network.js, in a namespace of its own.

const { once } = require('node:events');
const http = require('node:http');
const { HttpAgent, HttpsAgent } = require('../..');
const { send, socketRows } = require('./blocked');

let agent;
let connected;

const portsOf = (lists) => Object.values(lists).flatMap((list) => list.map((socket) => socket.localPort));

const functions = {
  /** A new agent; for TLS, with a certificate to trust. `resolvesTo`: it has a `lookup` function, which gives this address. */
  agent({ resolvesTo, ...options }, ca) {
    agent?.destroy();
    if (resolvesTo !== undefined) {
      options.lookup = (host, query, callback) => {
        setImmediate(callback, null, query.all ? [{ address: resolvesTo, family: 4 }] : resolvesTo, 4);
      };
    }
    agent = ca == null ? new HttpAgent(options) : new HttpsAgent({ ca, ...options });
  },

  /** The local ports of the idle sockets, and of those in use. */
  ports() {
    return { idle: portsOf(agent.freeSockets), busy: portsOf(agent.sockets) };
  },

  /** Whether bytes are on their way to a port of the server. */
  sending(port) {
    return socketRows(port).some(([, , , , queues]) => !queues.startsWith('00000000:'));
  },

  /** Whether the end of a connection to it, from a port of ours, has come. */
  ended(port, from) {
    const local = `:${from.toString(16).toUpperCase().padStart(4, '0')}`;
    const ESTABLISHED = '01';
    return !socketRows(port).some(([, own, , state]) => own.endsWith(local) && state === ESTABLISHED);
  },

  /** When it returns true, what the kernel had before has been read off the loop: each question is a turn there. */
  read() {
    for (let turn = 0; turn < 3; turn++) agent.stats();
    return true;
  },

  destroy() {
    agent.destroy();
  },

  /** Begins a request on a connection of its own, of which nothing is sent yet; the local port. */
  async connect({ host, port, id }) {
    const headers = { 'x-id': id };
    connected = http.request({ agent, host, port, method: 'POST', headers });
    const [socket] = await once(connected, 'socket');
    await once(socket, 'connect');
    return socket.localPort;
  },

  /** Ends that request; its status, or its error's code. */
  async end() {
    connected.end('x');
    try {
      const [response] = await once(connected, 'response');
      response.resume();
      return response.statusCode;
    } catch (error) {
      return error.code;
    }
  },

  async send({ host, port, isSecure, ...options }) {
    const started = performance.now();
    const { status, error, request } = await send(agent, { port, isSecure }, { host, ...options });
    // A socket goes back into the pool a tick after its response has ended.
    await new Promise((resolve) => setImmediate(resolve));
    return {
      ms: performance.now() - started,
      status,
      code: error?.code,
      message: error?.message,
      reason: error?.reason,
      retry: error?.connection?.retry,
      attempts: request.attempts,
      reused: request.reusedSocket,
      port: request.socket?.localPort,
    };
  },
};

async function answer({ number, name, args }) {
  try {
    process.send({ number, result: await functions[name](...args) });
  } catch (error) {
    process.send({ number, error: error.stack });
  }
}

process.on('message', (calls) => calls.forEach(answer));
process.on('disconnect', () => process.exit());
process.send({ ready: true });
