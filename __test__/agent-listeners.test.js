'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { echoServer } = require('./helpers/echo-server');
const { asNode, exchangeAndIdle, nextTurn } = require('./helpers/request');

const NAMES = ['agentRemove', 'close', 'connect', 'data', 'drain', 'end', 'error', 'free', 'timeout'];

function counts(socket) {
  return Object.fromEntries(NAMES.map((name) => [name, socket.listenerCount(name)]));
}

for (const [title, options, perRequest] of [
  ['without a timeout', {}, {}],
  ['with a timeout of the agent', { timeout: 30_000 }, {}],
  ['with a timeout of the request', {}, { timeout: 20_000 }],
  ['with both', { timeout: 30_000 }, { timeout: 20_000 }],
]) {
  test(`the numbers of listeners are those of Node, ${title}`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t);
    await asNode(t, async (make) => {
      const agent = make(options);
      const seen = [];
      for (let n = 0; n < 2; n++) {
        const free = once(agent, 'free');
        const request = http.get({ ...server.at, ...perRequest, agent });
        const [socket] = await once(request, 'socket');
        // While it connects, net.Socket listens to itself.
        const { connect, close, ...others } = counts(socket);
        seen.push([`${n} socket`, others, n === 1 && { connect, close }]);
        const [response] = await once(request, 'response');
        seen.push([`${n} response`, counts(socket)]);
        response.resume();
        await once(response, 'end');
        seen.push([`${n} end`, counts(socket)]);
        await free;
        await nextTurn();
        seen.push([`${n} idle`, counts(socket)]);
      }
      return seen;
    });
  });
}

test('none is left over by many requests', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning.name);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const [first, last] = await asNode(t, async (make) => {
    const agent = make();
    const seen = [];
    for (let n = 0; n < 25; n++) {
      const { socket } = await exchangeAndIdle({ ...server.at, agent });
      await nextTurn();
      seen.push(counts(socket));
    }
    return [seen[0], seen.at(-1)];
  });
  assert.deepStrictEqual(last, first);
  assert.deepStrictEqual([first.data, first.drain, first.error, first.end, first.connect], [0, 0, 1, 1, 0]);
  assert.deepStrictEqual(warnings, []);
});
