'use strict';

// The client libraries through which the agents are used. `prepare` returns how to make one request; it resolves
// with the id that the server answered, and the caller judges whether it is the right one. What is posted is the
// same everywhere, a JSON-RPC call, since jayson posts nothing else.

const HOST = '127.0.0.1';

const call = (id) => ({ jsonrpc: '2.0', method: 'ping', params: [], id });
const target = (method, id) => (method === 'GET' ? `/?id=${id}` : '/');

function idOf(status, answer) {
  if (status !== 200) throw new Error(`unexpected response: status ${status}`);
  return answer.id;
}

/**
 * @typedef {object} CallSite
 * @property {'http' | 'undici'} api whose agents it takes
 * @property {string[]} methods
 * @property {(agent: object, port: number, method: string) => (id: number) => Promise<number>} prepare
 */

/** @type {Record<string, CallSite>} */
const CALL_SITES = {
  'http.request': {
    api: 'http',
    methods: ['GET', 'POST'],
    prepare(agent, port, method) {
      const http = require('node:http');
      return (id) =>
        new Promise((resolve, reject) => {
          const body = method === 'POST' ? JSON.stringify(call(id)) : '';
          const headers =
            method === 'POST'
              ? { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
              : {};
          const options = { host: HOST, port, agent, method, path: target(method, id), headers };
          const req = http.request(options, (res) => {
            let text = '';
            res.setEncoding('utf8');
            res.on('data', (chunk) => {
              text += chunk;
            });
            res.on('error', reject);
            res.on('end', () => {
              try {
                resolve(idOf(res.statusCode, JSON.parse(text)));
              } catch (error) {
                reject(error);
              }
            });
          });
          req.on('error', reject);
          req.end(body);
        });
    },
  },

  request: {
    api: 'http',
    methods: ['GET', 'POST'],
    prepare(agent, port, method) {
      const request = require('request');
      return (id) =>
        new Promise((resolve, reject) => {
          const json = method === 'POST' ? call(id) : true;
          const url = `http://${HOST}:${port}${target(method, id)}`;
          request({ agent, method, url, json }, (error, res, body) => {
            if (error) {
              reject(error);
              return;
            }
            try {
              resolve(idOf(res.statusCode, body));
            } catch (unexpected) {
              reject(unexpected);
            }
          });
        });
    },
  },

  axios: {
    api: 'http',
    methods: ['GET', 'POST'],
    prepare(httpAgent, port, method) {
      const axios = require('axios');
      return async (id) => {
        const url = `http://${HOST}:${port}${target(method, id)}`;
        const data = method === 'POST' ? call(id) : undefined;
        // A proxy in the environment would get what is meant for this machine.
        const { status, data: answer } = await axios({ httpAgent, method, url, data, proxy: false });
        return idOf(status, answer);
      };
    },
  },

  jayson: {
    api: 'http',
    methods: ['POST'],
    prepare(agent, port) {
      const jayson = require('jayson');
      const client = jayson.Client.http({ host: HOST, port, agent });
      return (id) =>
        new Promise((resolve, reject) => {
          const { method, params } = call(id);
          client.request(method, params, id, (error, answer) => {
            if (error) reject(error);
            else resolve(answer?.id);
          });
        });
    },
  },

  'undici.request': {
    api: 'undici',
    methods: ['GET', 'POST'],
    prepare(dispatcher, port, method) {
      const { request } = require('undici');
      return async (id) => {
        const url = `http://${HOST}:${port}${target(method, id)}`;
        const post = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(call(id)) };
        const { statusCode, body } = await request(url, {
          dispatcher,
          method,
          ...(method === 'POST' && post),
        });
        return idOf(statusCode, await body.json());
      };
    },
  },
};

module.exports = { CALL_SITES };
