'use strict';

// Requests, and the same scenario with Node's agent and with ours: Node is the specification.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { HttpAgent } = require('../..');

/** The whole of a response as text. */
async function text(response) {
  let all = '';
  response.setEncoding('utf8');
  for await (const part of response) all += part;
  return all;
}

const ends = new WeakMap();

/**
 * Resolves with the 'close' event of a stream, whatever comes before it; also if it has been, provided
 * that this was called before (exchange() does so for its socket). The property `closed` is no help: it
 * is true before the event.
 */
function closed(stream) {
  let end = ends.get(stream);
  if (end === undefined) {
    end = new Promise((resolve) => stream.once('close', resolve));
    ends.set(stream, end);
  }
  return end;
}

/** Sends a request and resolves with { request, response, socket, body } when all of it has come. */
function exchange(options, body, get = http.request) {
  return new Promise((resolve, reject) => {
    const request = get(options);
    const done = {};
    const end = closed(request);
    request.on('error', reject);
    request.on('socket', closed);
    request.on('response', async (response) => {
      try {
        Object.assign(done, { request, response, socket: response.socket, body: await text(response) });
        await end;
        resolve(done);
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
}

/** As exchange(), and then the socket is idle in the agent's books. */
async function exchangeAndIdle(options, body, get) {
  // The agent's own listener came first: the books are right when this one hears it.
  const free = once(options.agent, 'free');
  const [done] = await Promise.all([exchange(options, body, get), free]);
  return done;
}

/** The books of an agent as plain numbers. */
function books({ sockets, freeSockets, requests, totalSocketCount }) {
  const count = (lists) =>
    Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, list.length]));
  return {
    sockets: count(sockets),
    freeSockets: count(freeSockets),
    requests: count(requests),
    total: totalSocketCount,
  };
}

/** Runs `scenario` with Node's agent and with ours, and compares what it returns. Returns that. */
async function asNode(t, scenario) {
  const agents = [];
  const make = (create) => (options) => {
    const agent = create(options);
    agents.push(agent);
    return agent;
  };
  t.after(() => agents.forEach((agent) => agent.destroy()));
  const nodes = await scenario(make((options) => new http.Agent({ keepAlive: true, ...options })));
  const ours = await scenario(make((options) => new HttpAgent(options)));
  assert.deepStrictEqual(ours, nodes);
  return ours;
}

/** An agent of ours that ends with the test. */
function ourAgent(t, options) {
  const agent = new HttpAgent(options);
  t.after(() => agent.destroy());
  return agent;
}

/** For an agent whose connections are Node's own sockets: no lookup takes it, which is for Node to say, and an address needs none. */
const onNodes = { hints: -1 };

const nextTick = () => new Promise((resolve) => process.nextTick(resolve));
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

module.exports = {
  asNode,
  books,
  closed,
  exchange,
  exchangeAndIdle,
  nextTick,
  nextTurn,
  onNodes,
  ourAgent,
  text,
};
