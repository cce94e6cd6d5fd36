'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { echoServer } = require('./helpers/echo-server');
const { asNode, books, closed, exchangeAndIdle } = require('./helpers/request');

const silent = () => {};

test('the agent’s timeout is the socket’s before it has connected', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const seen = await asNode(t, async (make) => {
    const agent = make({ timeout: 12_000 });
    const free = once(agent, 'free');
    const request = http.get({ ...server.at, agent }, (response) => response.resume());
    const [socket] = Object.values(agent.sockets)[0];
    const early = [socket.connecting, socket.timeout];
    await free;
    return [...early, socket.timeout, request.timeout];
  });
  assert.deepStrictEqual(seen, [true, 12_000, 12_000, undefined]);
});

test('the request’s wins over it, and the agent’s is back afterwards', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  const seen = await asNode(t, async (make) => {
    const agent = make({ timeout: 12_000 });
    const timeouts = [];
    for (const timeout of [5000, undefined, 7000]) {
      const free = once(agent, 'free');
      const request = http.get({ ...server.at, agent, timeout });
      const [response] = await once(request, 'response');
      const { socket } = response;
      timeouts.push(socket.timeout);
      response.resume();
      await free;
      timeouts.push(socket.timeout);
    }
    return timeouts;
  });
  assert.deepStrictEqual(seen, [5000, 12_000, 12_000, 12_000, 7000, 12_000]);
});

for (const [title, options, more] of [
  ['of the agent', { timeout: 60 }, {}],
  ['of the request', {}, { timeout: 60 }],
  ['of the request, less than the agent’s', { timeout: 19_000 }, { timeout: 60 }],
]) {
  test(`a timeout ${title} is an event, not an error`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t, { listener: silent });
    const [events, code] = await asNode(t, async (make) => {
      const agent = make(options);
      const events = [];
      const request = http.get({ ...server.at, ...more, agent });
      request.on('error', ({ code }) => events.push(code));
      await once(request, 'timeout');
      events.push('timeout', request.destroyed);
      request.destroy();
      await closed(request);
      return [events.slice(0, 2), events[2]];
    });
    assert.deepStrictEqual(events, ['timeout', false]);
    assert.strictEqual(code, 'ECONNRESET');
  });

  test(`a timeout ${title} is heard on a reused socket too`, { timeout: 20_000 }, async (t) => {
    const server = await echoServer(t, {
      listener: (request, response) => (request.url === '/silent' ? silent() : response.end()),
    });
    const reused = await asNode(t, async (make) => {
      const agent = make({ ...options, ...(options.timeout < 1000 && { timeout: 400 }) });
      await exchangeAndIdle({ ...server.at, agent });
      const request = http.get({ ...server.at, ...more, path: '/silent', agent });
      request.on('error', () => {});
      await once(request, 'timeout');
      request.destroy();
      await closed(request);
      return request.reusedSocket;
    });
    assert.strictEqual(reused, true);
  });
}

test('req.setTimeout() counts from the connect on', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t, { listener: silent });
  const seen = await asNode(t, async (make) => {
    const agent = make();
    const request = http.get({ ...server.at, agent });
    request.on('error', () => {});
    let called = 0;
    request.setTimeout(60, () => called++);
    const [socket] = await once(request, 'socket');
    const before = [socket.connecting, socket.timeout];
    await once(request, 'timeout');
    const after = socket.timeout;
    request.destroy();
    await closed(request);
    return [...before, after, called];
  });
  assert.deepStrictEqual(seen.slice(2), [60, 1]);
});

test('bytes put the timeout off', { timeout: 20_000 }, async (t) => {
  const timeout = 400;
  let longest;
  const server = await echoServer(t, {
    listener: (request, response) => {
      let left = 8;
      let last = performance.now();
      const timer = setInterval(() => {
        const now = performance.now();
        longest = Math.max(longest, now - last);
        last = now;
        response.write('part');
        if (--left === 0) {
          clearInterval(timer);
          response.end();
        }
      }, 60);
    },
  });
  const eventsOf = async (agent) => {
    const events = [];
    const request = http.get({ ...server.at, agent }, (response) => {
      response.resume().on('end', () => events.push('end'));
    });
    request.on('timeout', () => events.push('timeout'));
    await closed(request);
    return events;
  };
  for (const agent of [new http.Agent({ keepAlive: true, timeout }), new HttpAgent({ timeout })]) {
    t.after(() => agent.destroy());
    let events;
    // If the machine has stood still meanwhile, so that no bytes came, that is another test.
    do {
      longest = 0;
      events = await eventsOf(agent);
    } while (longest > timeout * 0.75);
    assert.deepStrictEqual(events, ['end']);
  }
});

test('an idle socket that times out is destroyed', { timeout: 20_000 }, async (t) => {
  const server = await echoServer(t);
  await asNode(t, async (make) => {
    const agent = make({ timeout: 80 });
    const { socket } = await exchangeAndIdle({ ...server.at, agent });
    let timeouts = 0;
    socket.on('timeout', () => timeouts++);
    await closed(socket);
    return [timeouts, books(agent)];
  });
});
