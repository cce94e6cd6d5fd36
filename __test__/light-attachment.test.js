'use strict';

// A request on a lane whose answers Rust reads has none of Node's listeners, and no parser, until somebody
// looks. No program can tell: who looks finds what Node would have put there.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { finished } = require('node:stream');
const { test } = require('node:test');

const { transport, until } = require('./helpers/blocked');
const { odd, plain } = require('./helpers/responses');
const { agents, compare, startServer, using, watch } = require('./helpers/traces');

const { Agent, listen, request: send } = transport();

const timeout = 60_000;

const EVENTS = [
  'error',
  'data',
  'end',
  'close',
  'drain',
  'timeout',
  'finish',
  'connect',
  'agentRemove',
  'free',
];

/** Node's own listeners on a socket: ours has others beside them for what net.Socket does by itself. */
const OWN = ['socketErrorListener', 'socketOnData', 'socketOnEnd', 'socketCloseListener', 'ondrain'];
const NODES = [
  ...OWN,
  'responseOnTimeout',
  'emitRequestTimeout',
  'freeSocketErrorListener',
  'onFree',
  'onClose',
  'onTimeout',
  'onRemove',
];

function listenersOf(socket) {
  return EVENTS.map((event) => {
    const names = socket.listeners(event).map(({ name }) => name);
    return [event, names.filter((name) => NODES.includes(name)), names.length > 0];
  }).filter(([, names]) => names.length > 0);
}

function get(agent, port, path, options) {
  return send({ host: '127.0.0.1', port, path, agent, ...options }).end();
}

/** Exchanges until the next one is put lightly on its lane. */
async function warm(agent, port, path = '/a%20body/0') {
  for (let i = 0; i < 3; i++) {
    const request = get(agent, port, path);
    const [response] = await once(request, 'response');
    response.resume();
    await once(request, 'close');
    await new Promise(setImmediate);
  }
}

// The first, since the process must not have had an idle socket.
test(
  'there is neither in a process whose sockets are never idle, since requests wait',
  { timeout },
  async (t) => {
    const port = await startServer(t, plain);
    const agent = new Agent({ maxSockets: 1 });
    t.after(() => agent.destroy());
    const light = [];
    let next = get(agent, port, '/a%20body/0');
    for (let left = 6; left >= 0; left--) {
      const request = next;
      if (left > 0) next = get(agent, port, '/a%20body/0');
      const [response] = await once(request, 'response');
      light.push(request.socket._isLight);
      if (left > 0) assert.deepEqual(agent.freeSockets, { __proto__: null });
      response.resume();
      await once(request, 'close');
    }
    assert.deepEqual(light.slice(2), [true, true, true, true, true]);
  },
);

test('without anybody who looks there is neither a listener nor a parser', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const agent = new Agent();
  t.after(() => agent.destroy());
  await warm(agent, port);
  const idle = Object.values(agent.freeSockets)[0][0];
  watch(idle);
  const check = (request) => {
    assert.equal(request.socket, idle);
    assert.equal(idle._isLight, true);
    assert.equal(idle._events.error, undefined);
    assert.equal(request.parser, null);
  };
  for (const [path, options] of [['/a%20body/0'], ['/a%20body/0', { method: 'HEAD' }], ['/100%20bytes/80']]) {
    const request = get(agent, port, path, options);
    const [response] = await once(request, 'response');
    check(request);
    response.on('data', () => check(request));
    await once(request, 'close');
    await new Promise(setImmediate);
  }
});

/** How a request gets a timeout: options of the request and of the agent, and what is done with the request. */
const TIMEOUTS = {
  'no timeout': {},
  'a timeout': { own: (ms) => ({ timeout: ms }) },
  'a timeout of its agent': { ofAgent: (ms) => ({ timeout: ms }) },
  'a timeout of both': { own: (ms) => ({ timeout: ms }), ofAgent: (ms) => ({ timeout: ms }) },
  'setTimeout()': { act: (request, ms) => request.setTimeout(ms) },
  'setTimeout() in response': {
    act: (request, ms) => request.once('response', () => request.setTimeout(ms)),
  },
};

for (const [what, { own = () => {}, ofAgent, act = () => {} }] of Object.entries(TIMEOUTS)) {
  /** A request that has it. */
  const getSo = (agent, port, path, ms) => {
    const request = get(agent, port, path, own(ms));
    act(request, ms);
    return request;
  };

  /** Exchanges with it until the next one is put lightly on its lane. */
  const warmSo = async (agent, port, path) => {
    for (let i = 0; i < 3; i++) {
      const request = getSo(agent, port, path, timeout);
      request.once('response', (response) => response.resume());
      await once(request, 'close');
      await new Promise(setImmediate);
    }
  };

  test(`who looks finds Node’s listeners, at every moment (${what})`, { timeout }, async (t) => {
    const port = await startServer(t, plain);
    const seen = [];
    for (const [name, agent] of agents(t, ofAgent?.(timeout))) {
      await using(name, async () => {
        await warmSo(agent, port, '/a%20body/0');
        const found = {};
        const idle = Object.values(agent.freeSockets)[0][0];
        // Looked at once, they are all there from then on: so each moment has an exchange of its own.
        watch(idle);
        for (const moment of ['socket', 'response', 'middle', 'end', 'close']) {
          const path = moment === 'middle' ? '/100%20bytes/80' : '/a%20body/0';
          const request = getSo(agent, port, path, timeout);
          const look = () => {
            if (name === 'parsed') found.isLight ??= idle._isLight;
            found[moment] = listenersOf(idle);
          };
          if (moment === 'socket' || moment === 'response' || moment === 'close') request.once(moment, look);
          request.once('response', (response) => {
            response.resume();
            if (moment === 'middle') response.once('data', look);
            if (moment === 'end') response.once('end', look);
          });
          await once(request, 'close');
          await new Promise(setImmediate);
          await warmSo(agent, port, '/a%20body/0');
        }
        found.idle = listenersOf(idle);
        seen.push([name, found]);
      });
    }
    const [[, expected], ...others] = seen;
    assert.equal(expected.response.length, 8);
    for (const [name, { isLight, ...found }] of others) {
      assert.deepEqual(found, expected, name);
      assert.equal(isLight, name === 'parsed' ? ofAgent === undefined : undefined);
    }
  });

  if (what === 'no timeout') continue;
  for (const [path, ends] of [
    ['/silent', 'before its response'],
    ['/half', 'in its response'],
  ]) {
    if (path === '/silent' && what === 'setTimeout() in response') continue;
    test(`what comes of ${what} that runs out ${ends}`, { timeout }, async (t) => {
      const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
      const answers = { '/whole': whole, '/half': whole.slice(0, -2), '/silent': '' };
      const server = listen((socket) => {
        socket.on('error', () => {});
        socket.on('data', (bytes) => socket.write(answers[String(bytes).split(' ')[1]]));
      });
      t.after(() => server.close());
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const { port } = server.address();
      const seen = [];
      for (const [name, agent] of agents(t, ofAgent?.(200))) {
        await using(name, async () => {
          await warmSo(agent, port, '/whole');
          const trace = [];
          const request = getSo(agent, port, path, 200);
          request.once('timeout', () => trace.push('request'));
          request.once('error', ({ code, message }) => trace.push(code, message));
          request.once('response', (response) => {
            response.resume();
            response.once('timeout', () => trace.push('response'));
            response.once('error', ({ code, message }) => trace.push(code, message));
          });
          await once(request, 'timeout');
          await new Promise(setImmediate);
          const { socket } = request;
          trace.push(listenersOf(socket).find(([event]) => event === 'timeout'));
          request.destroy();
          await new Promise((resolve) => request.once('close', resolve));
          seen.push([name, trace]);
        });
      }
      const [[, expected], ...others] = seen;
      assert.ok(expected.includes('request'));
      for (const [name, trace] of others) assert.deepEqual(trace, expected, name);
    });
  }
}

/** What becomes of a request that waits for the only socket, behind one that does not. */
async function wait(agent, port, act) {
  const [first, second] = [get(agent, port, '/a%20body/0'), get(agent, port, '/a%20body/0')];
  assert.equal(Object.values(agent.requests)[0][0], second);
  first.on('response', (response) => response.resume());
  second.on('response', (response) => response.resume());
  act(second, first);
  await new Promise((resolve) => second.once('close', resolve));
  await new Promise(setImmediate);
}

// With 0 the request is sent when it has its lane; else Rust has it before.
for (const maxSentAhead of [0, 64]) {
  const options = { maxSockets: 1, maxSentAhead };
  const how = maxSentAhead === 0 ? '' : ' that has been handed over';

  test(`a request that has waited${how} needs neither, too`, { timeout }, async (t) => {
    const port = await startServer(t, plain);
    const agent = new Agent(options);
    t.after(() => agent.destroy());
    await warm(agent, port);
    const [idle] = Object.values(agent.freeSockets)[0];
    watch(idle);
    await wait(agent, port, (second) =>
      second.once('response', (response) => {
        const check = () => {
          assert.equal(second.socket, idle);
          assert.equal(idle._isLight, true);
          assert.equal(idle._events.error, undefined);
          assert.equal(second.parser, null);
        };
        check();
        response.on('data', check);
      }),
    );
  });

  test(`who looks finds Node’s listeners, of a request that has waited${how}`, { timeout }, async (t) => {
    const port = await startServer(t, plain);
    const seen = [];
    for (const [name, agent] of agents(t, options)) {
      await using(name, async () => {
        await warm(agent, port);
        const found = {};
        for (const moment of ['free', 'onSocket', 'tick', 'socket', 'response', 'data', 'end', 'close']) {
          const [idle] = Object.values(agent.freeSockets)[0];
          watch(idle);
          const look = () => (found[moment] = [listenersOf(idle), idle._httpMessage === null]);
          await wait(agent, port, (second, first) => {
            if (moment === 'free') idle.once('free', look);
            else if (moment === 'onSocket' || moment === 'tick') {
              first.once('close', () => process.nextTick(moment === 'tick' ? process.nextTick : look, look));
            } else if (moment === 'data' || moment === 'end')
              second.once('response', (response) => response.once(moment, look));
            else second.once(moment, look);
          });
          await warm(agent, port);
        }
        assert.equal(Object.keys(found).length, 8);
        seen.push([name, found]);
      });
    }
    const [[, expected], ...others] = seen;
    assert.equal(expected.response[0].length, 8);
    for (const [name, found] of others) assert.deepEqual(found, expected, name);
  });

  test(`what becomes of one that has waited${how}, and is destroyed`, { timeout }, async (t) => {
    const port = await startServer(t, plain);
    const seen = [];
    for (const [name, agent] of agents(t, options)) {
      await using(name, async () => {
        const found = {};
        const moments = {
          close: (second, first) => first.once('close', () => second.destroy()),
          free: (second, first) =>
            first.once('socket', (socket) => socket.once('free', () => second.destroy())),
          tick: (second, first) =>
            first.once('close', () => process.nextTick(process.nextTick, () => second.destroy())),
          socket: (second) => second.once('socket', () => second.destroy()),
          response: (second) => second.once('response', () => second.destroy()),
        };
        for (const [moment, act] of Object.entries(moments)) {
          await warm(agent, port);
          const [idle] = Object.values(agent.freeSockets)[0];
          const events = [];
          await wait(agent, port, (second, first) => {
            for (const event of ['socket', 'response', 'error', 'abort', 'close'])
              second.on(event, (error) => events.push(event === 'error' ? error.message : event));
            act(second, first);
          });
          const third = get(agent, port, '/a%20body/0');
          const [response] = await once(third, 'response');
          response.resume();
          await once(third, 'close');
          await new Promise(setImmediate);
          // What has been handed over may have been sent, and costs the connection then.
          const isKept = maxSentAhead > 0 || third.socket === idle;
          found[moment] = [events, isKept, listenersOf(third.socket)];
        }
        seen.push([name, found]);
      });
    }
    const [[, expected], ...others] = seen;
    for (const [name, found] of others) assert.deepEqual(found, expected, name);
  });
}

test('who looks before the request has its lane changes nothing', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const seen = [];
  for (const [name, agent] of agents(t)) {
    await using(name, async () => {
      const found = [];
      for (const destroys of [false, true]) {
        await warm(agent, port);
        const lane = Object.values(agent.freeSockets)[0][0];
        const request = get(agent, port, '/a%20body/0');
        request.on('error', () => {});
        found.push(listenersOf(lane));
        if (destroys) request.destroy();
        else {
          const [response] = await once(request, 'response');
          found.push(listenersOf(lane));
          response.resume();
        }
        await new Promise((resolve) => request.once('close', resolve));
        await new Promise(setImmediate);
        if (!destroys) found.push(listenersOf(lane));
      }
      seen.push([name, found]);
    });
  }
  const [[, expected], ...others] = seen;
  for (const [name, found] of others) assert.deepEqual(found, expected, name);
});

test('who listens for new listeners hears of the one for timeouts', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const seen = [];
  for (const [name, agent] of agents(t)) {
    await using(name, async () => {
      await warm(agent, port);
      const heard = [];
      const request = get(agent, port, '/a%20body/0');
      request.once('socket', (socket) => {
        socket.on('newListener', (event) => heard.push(event));
      });
      const [response] = await once(request, 'response');
      response.resume();
      await once(request, 'close');
      seen.push([name, heard.filter((event) => event === 'timeout')]);
    });
  }
  const [[, expected], ...others] = seen;
  assert.ok(expected.length > 0);
  for (const [name, heard] of others) assert.deepEqual(heard, expected, name);
});

test('a socket that has lost its listeners in the same tick is read all the same', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  for (const [name, agent] of agents(t)) {
    await using(name, async () => {
      await warm(agent, port);
      const [socket] = Object.values(agent.freeSockets)[0];
      t.after(() => socket.destroy());
      // The stream decides in the next tick that it does not flow any more.
      socket.removeAllListeners();
      const request = get(agent, port, '/a%20body/0');
      const [response] = await once(request, 'response');
      assert.equal(request.socket, socket, name);
      await once(response.resume(), 'end');
    });
  }
});

test('listeners of a program stand behind those of Node', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const agent = new Agent();
  t.after(() => agent.destroy());
  await warm(agent, port);
  const request = get(agent, port, '/a%20body/0');
  const [socket] = await once(request, 'socket');
  socket.on('close', function mine() {});
  socket.prependListener('error', function first() {});
  assert.deepEqual(
    socket.listeners('close').map(({ name }) => name),
    ['onClose', 'socketCloseListener', 'mine'],
  );
  assert.deepEqual(
    socket.listeners('error').map(({ name }) => name),
    ['first', 'socketErrorListener'],
  );
  const [response] = await once(request, 'response');
  response.resume();
  await once(request, 'close');
  assert.deepEqual(
    socket.listeners('close').map(({ name }) => name),
    ['onClose', 'mine'],
  );
});

test('every odd response behind a plain one', { timeout }, async (t) => {
  const port = await startServer(t, { ...plain, ...odd });
  const made = agents(t);
  for (const name of Object.keys(odd)) {
    for (const [which, agent] of made) await using(which, () => warm(agent, port));
    await compare(made, port, `/${encodeURIComponent(name)}/0`, 'flowing');
  }
});

test('a response in two pieces behind a plain one', { timeout }, async (t) => {
  const port = await startServer(t, { ...plain, ...odd });
  const made = agents(t);
  for (const name of ['a body', 'chunks', 'Connection: close']) {
    for (let cut = 1; cut < { ...plain, ...odd }[name].length; cut += 3) {
      for (const [which, agent] of made) await using(which, () => warm(agent, port));
      await compare(made, port, `/${encodeURIComponent(name)}/${cut}`, 'flowing');
    }
  }
});

/** Ways in which a connection ends while a request waits for its answer. */
const ENDS = {
  FIN: (socket) => socket.end(),
  // Under TLS it is the socket below.
  RST: (socket) => (socket._parent ?? socket).resetAndDestroy(),
};

test('what comes behind a response that is not read yet gets no parser', { timeout }, async (t) => {
  const said = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody';
  let socket;
  const server = listen((peer) => {
    socket = peer.on('data', () => peer.write(said)).on('error', () => {});
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address();
  for (const [name, agent] of agents(t)) {
    await using(name, async () => {
      await warm(agent, port);
      const request = get(agent, port, '/');
      const [response] = await once(request, 'response');
      const lane = request.socket;
      assert.equal(request.reusedSocket, true);
      const before = lane.bytesRead;
      socket.write(said);
      await until(() => lane.bytesRead >= before + said.length);
      // Nobody would give it back.
      assert.equal(lane.parser ?? null, null);
      response.resume();
      await once(request, 'close');
      agent.destroy();
    });
  }
});

test('what becomes of a request whose connection is lost', { timeout }, async (t) => {
  const server = listen((socket) => {
    let served = 0;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const [, how] = /^POST \/(\w+)/.exec(bytes.toString('latin1')) ?? [];
      if (how in ENDS && served > 0) ENDS[how](socket);
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      served++;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address();
  for (const how of Object.keys(ENDS)) {
    const seen = [];
    for (const [name, agent] of agents(t)) {
      await using(name, async () => {
        await warm(agent, port, '/');
        const events = [];
        const request = get(agent, port, `/${how}`, { method: 'POST' });
        request.on('error', ({ code, message, syscall }) => events.push(['error', code, message, syscall]));
        request.on('socket', (socket) => socket.on('close', (hadError) => events.push(['socket', hadError])));
        await once(request, 'close').catch(() => once(request, 'close'));
        events.push(request.destroyed, request.reusedSocket, Object.keys(agent.sockets));
        seen.push(events);
      });
    }
    assert.deepEqual(seen[1], seen[0]);
    assert.deepEqual(seen[2], seen[0]);
  }
});

test('a lane that is destroyed, and watched to its end', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const agent = new Agent();
  t.after(() => agent.destroy());
  for (const error of [undefined, new Error('enough')]) {
    await warm(agent, port);
    const request = get(agent, port, '/a%20body/0');
    const errors = [];
    request.on('error', ({ message }) => errors.push(message));
    const [socket] = await once(request, 'socket');
    const ended = new Promise((resolve) => finished(socket, resolve));
    const closed = new Promise((resolve) => request.once('close', resolve));
    socket.destroy(error);
    await Promise.all([ended, closed]);
    assert.deepEqual(errors, [error?.message ?? 'socket hang up']);
  }
});

test('a request that is destroyed before it has its lane', { timeout }, async (t) => {
  const port = await startServer(t, plain);
  const seen = [];
  for (const [name, agent] of agents(t, { maxSockets: 1 })) {
    await using(name, async () => {
      await warm(agent, port);
      const events = [];
      const request = get(agent, port, '/a%20body/0');
      for (const event of ['socket', 'error', 'close']) request.on(event, () => events.push(event));
      request.destroy();
      await once(request, 'close').catch(() => {});
      await warm(agent, port);
      seen.push(events);
    });
  }
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
});
