'use strict';

const http = require('node:http');
const { createAgent } = require('./agents');
const { now } = require('./clock');
const settings = require('./settings');

/** Makes requests through the agent of one name and keeps a record of each. */
class Client {
  #agents;
  #name;
  records = [];

  constructor(name) {
    this.#name = name;
    this.#agents = {
      /** Idle limit: the agent's own default. */
      plain: createAgent(name),
      /** Idle limit: correctly set, below the server's. */
      limited: createAgent(name, settings.freeSocketTimeout),
    };
  }

  /**
   * One request. The promise resolves with its record when it is answered or has failed; it never rejects.
   * @param {object} request
   * @param {'plain' | 'limited'} request.pool
   * @param {URL} request.url
   * @param {string} request.method
   * @param {string} [request.body] JSON
   * @param {object} [request.headers]
   * @param {number} [request.deadline] ms
   * @param {(id: string, body: string) => boolean} [request.check] whether this body answers that request
   * @param {object} [request.note] goes onto the record as it is
   */
  send({ pool, url, method, body, headers, deadline = settings.requestDeadline, check, note }) {
    const id = `${this.#name}-${this.records.length + 1}`;
    const record = { id, pool, method, ...note };
    this.records.push(record);
    return new Promise((resolve) => {
      const settle = (outcome) => {
        if (record.doneAt !== undefined) return;
        clearTimeout(timer);
        Object.assign(record, outcome, { doneAt: now() });
        record.attempts = request.attempts ?? 1;
        resolve(record);
      };
      const fail = (error) => {
        record.port = error.connection?.localPort ?? request.socket?.localPort ?? record.port;
        settle({ code: error.code ?? error.message, reused: request.reusedSocket });
      };

      record.madeAt = now();
      const request = http.request(url, {
        agent: this.#agents[pool],
        method,
        headers: {
          ...headers,
          ...(body && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          'x-request-id': id,
        },
      });
      const timer = setTimeout(() => {
        request.destroy(Object.assign(new Error('no answer'), { code: 'NO_ANSWER' }));
      }, deadline);
      request.on('socket', (socket) => notePort(socket, record));
      request.on('error', fail);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          if (check) text += chunk;
        });
        response.on('error', fail);
        response.on('end', () => {
          const status = response.statusCode;
          if (check && !check(id, text)) settle({ code: 'WRONG_ANSWER', wrong: true, status });
          else settle({ status });
        });
      });
      request.end(body);
    });
  }

  destroy() {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }
}

// After a failure a socket no longer knows its port, so it is noted before.
function notePort(socket, record) {
  if (socket.connecting) socket.once('connect', () => (record.port = socket.localPort));
  else record.port = socket.localPort;
}

module.exports = { Client };
