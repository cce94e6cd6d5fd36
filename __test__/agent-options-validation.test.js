'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const { test } = require('node:test');
const { HttpAgent, HttpsAgent } = require('..');

const CLASSES = [HttpAgent, HttpsAgent];
const thrownBy = (make) => {
  try {
    make();
  } catch ({ name, code, message }) {
    return { name, code, message };
  }
  return undefined;
};

test('what Node refuses is refused with the same error', () => {
  for (const options of [
    ...[0, -1, NaN, '2', {}, null, true, () => {}].map((maxTotalSockets) => ({ maxTotalSockets })),
    ...['FIFO', 'random', 1, {}].map((scheduling) => ({ scheduling })),
  ]) {
    for (const [Ours, Nodes] of [
      [HttpAgent, http.Agent],
      [HttpsAgent, https.Agent],
    ]) {
      const expected = thrownBy(() => new Nodes(options));
      assert.deepStrictEqual(
        thrownBy(() => new Ours(options)),
        expected,
        JSON.stringify(options),
      );
      assert.deepStrictEqual(
        thrownBy(() => Ours(options)),
        expected,
      );
    }
  }
});

test('what Node takes is taken', () => {
  for (const options of [
    {},
    { maxTotalSockets: Infinity },
    { maxTotalSockets: 1 },
    { maxTotalSockets: undefined },
    { maxSockets: Infinity, maxFreeSockets: 0 },
    { scheduling: 'fifo' },
    { scheduling: undefined },
    { timeout: undefined },
    { timeout: null },
    { unknown: true },
  ]) {
    for (const Ours of CLASSES) assert.doesNotThrow(() => new Ours(options), JSON.stringify(options));
  }
});

test('options are an object', () => {
  for (const options of ['localhost', 80, true, Symbol('s'), () => {}]) {
    for (const Ours of CLASSES) assert.throws(() => new Ours(options), { code: 'ERR_INVALID_ARG_TYPE' });
  }
});

test('the options that were given are left as they are', () => {
  const options = Object.freeze({ timeout: '1s', freeSocketTimeout: '30s' });
  const agent = new HttpAgent(options);
  assert.deepStrictEqual(options, { timeout: '1s', freeSocketTimeout: '30s' });
  assert.notStrictEqual(agent.options, options);
});

const DURATIONS = [
  'freeSocketTimeout',
  'maxFreeSocketTimeout',
  'deadPeerTimeout',
  'socketActiveTTL',
  'dnsCacheTtl',
  'connectTimeout',
  'queueTimeout',
  'timeout',
];

for (const name of DURATIONS) {
  test(`${name} is a number of ms or a string with a unit`, () => {
    for (const [given, ms] of [
      [0, 0],
      [1, 1],
      [1500.5, 1500.5],
      [Infinity, name === 'timeout' ? 0 : Infinity],
      ['250', 250],
      ['250ms', 250],
      ['30s', 30_000],
      ['1.5s', 1500],
      ['5m', 300_000],
      ['2h', 7_200_000],
      ['1d', 86_400_000],
      [' 10 S ', 10_000],
    ]) {
      assert.strictEqual(new HttpAgent({ [name]: given }).options[name], ms, String(given));
    }
    for (const [given, code, constructor] of [
      [-1, 'ERR_OUT_OF_RANGE', RangeError],
      [NaN, 'ERR_OUT_OF_RANGE', RangeError],
      ['-1s', 'ERR_INVALID_ARG_VALUE', TypeError],
      ['', 'ERR_INVALID_ARG_VALUE', TypeError],
      ['soon', 'ERR_INVALID_ARG_VALUE', TypeError],
      ['5 weeks', 'ERR_INVALID_ARG_VALUE', TypeError],
      ['1s 2s', 'ERR_INVALID_ARG_VALUE', TypeError],
      [true, 'ERR_INVALID_ARG_TYPE', TypeError],
      [{}, 'ERR_INVALID_ARG_TYPE', TypeError],
      [10n, 'ERR_INVALID_ARG_TYPE', TypeError],
    ]) {
      for (const Ours of CLASSES) {
        assert.throws(
          () => new Ours({ [name]: given }),
          (error) =>
            error instanceof constructor && error.code === code && error.message.includes(`options.${name}`),
          String(given),
        );
      }
    }
  });
}

for (const [name, least, most] of [
  ['maxReadAheadBytes', 1, 2 ** 30 - 1],
  ['maxReplayBytes', 0, 2 ** 32 - 1],
  ['maxSentAhead', 0, 2 ** 32 - 1],
]) {
  test(`${name} is an integer from ${least} to ${most}`, () => {
    for (const value of [least, 1000, most])
      assert.strictEqual(new HttpAgent({ [name]: value }).options[name], value);
    for (const value of [least - 1, most + 1, 1.5, NaN, Infinity]) {
      assert.throws(() => new HttpAgent({ [name]: value }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
    }
    for (const value of ['1024', {}, true]) {
      assert.throws(() => new HttpAgent({ [name]: value }), {
        name: 'TypeError',
        code: 'ERR_INVALID_ARG_TYPE',
      });
    }
  });
}

test('maxBufferedBytes is an integer from 0, or Infinity', () => {
  for (const maxBufferedBytes of [0, 1000, Number.MAX_SAFE_INTEGER, Infinity])
    assert.strictEqual(new HttpAgent({ maxBufferedBytes }).options.maxBufferedBytes, maxBufferedBytes);
  for (const maxBufferedBytes of [-1, 1.5, NaN, -Infinity])
    assert.throws(() => new HttpAgent({ maxBufferedBytes }), {
      name: 'RangeError',
      code: 'ERR_OUT_OF_RANGE',
    });
  for (const maxBufferedBytes of ['1024', {}, true])
    assert.throws(() => new HttpAgent({ maxBufferedBytes }), {
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
    });
});

test('without a limit, by 0 or by Infinity, no duration keeps a request from its answer', async (t) => {
  const server = http.createServer((request, response) => response.end());
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  for (const limit of [0, Infinity]) {
    const agent = new HttpAgent(Object.fromEntries(DURATIONS.map((name) => [name, limit])));
    t.after(() => agent.destroy());
    for (const reusedSocket of [false, true]) {
      const request = http.get({ agent, host: '127.0.0.1', port: server.address().port });
      const free = once(agent, 'free');
      const [response] = await once(request, 'response');
      assert.strictEqual(request.reusedSocket, reusedSocket);
      response.resume();
      await free;
    }
  }
});

test('a delay of keep-alive probes that the system does not take is the system’s own', async (t) => {
  const server = http.createServer((request, response) => response.end());
  t.after(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  for (const keepAliveMsecs of [86_400_000, 2 ** 31 - 1, Infinity]) {
    for (const Agent of [http.Agent, HttpAgent]) {
      const agent = new Agent({ keepAlive: true, keepAliveMsecs });
      t.after(() => agent.destroy());
      const request = http.get({ agent, host: '127.0.0.1', port: server.address().port });
      const [response] = await once(request, 'response');
      assert.strictEqual(response.resume().statusCode, 200);
      await once(response, 'close');
    }
  }
});

test('sendEarly is safe, all or false', () => {
  for (const sendEarly of ['safe', 'all', false, undefined, null])
    assert.doesNotThrow(() => new HttpAgent({ sendEarly }));
  for (const sendEarly of [true, 'SAFE', '', 0, 1, {}])
    assert.throws(() => new HttpAgent({ sendEarly }), {
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: /'options\.sendEarly'.*'safe', 'all' or false/,
    });
});

test('retry is idempotent, false or an object', () => {
  const given = (retry) => () => new HttpAgent({ retry });
  for (const retry of [
    'idempotent',
    false,
    undefined,
    null,
    {},
    { methods: [], headers: [] },
    { methods: ['get', 'M-SEARCH'], headers: ['x.y|z'], maxReplayBytes: 0, unacknowledged: true },
    Object.freeze({ unacknowledged: false, unknown: 1 }),
  ]) {
    assert.doesNotThrow(given(retry));
  }
  for (const retry of ['always', true, 0, '', [], () => {}]) {
    assert.throws(given(retry), {
      code: 'ERR_INVALID_ARG_VALUE',
      message: /'options\.retry'.*'idempotent', false/,
    });
  }
  for (const [retry, code, name] of [
    [{ methods: 'GET' }, 'ERR_INVALID_ARG_TYPE', 'options.retry.methods'],
    [{ methods: [1] }, 'ERR_INVALID_ARG_TYPE', 'options.retry.methods[0]'],
    [{ methods: ['GET', 'A B'] }, 'ERR_INVALID_ARG_VALUE', 'options.retry.methods[1]'],
    [{ headers: null }, 'ERR_INVALID_ARG_TYPE', 'options.retry.headers'],
    [{ headers: [''] }, 'ERR_INVALID_ARG_VALUE', 'options.retry.headers[0]'],
    [{ headers: ['a:'] }, 'ERR_INVALID_ARG_VALUE', 'options.retry.headers[0]'],
    [{ maxReplayBytes: '1' }, 'ERR_INVALID_ARG_TYPE', 'options.retry.maxReplayBytes'],
    [{ maxReplayBytes: -1 }, 'ERR_OUT_OF_RANGE', 'options.retry.maxReplayBytes'],
    [{ maxReplayBytes: 1.5 }, 'ERR_OUT_OF_RANGE', 'options.retry.maxReplayBytes'],
    [{ maxReplayBytes: 2 ** 32 }, 'ERR_OUT_OF_RANGE', 'options.retry.maxReplayBytes'],
    [{ unacknowledged: 1 }, 'ERR_INVALID_ARG_TYPE', 'options.retry.unacknowledged'],
  ]) {
    assert.throws(given(retry), (error) => error.code === code && error.message.includes(name), name);
  }
});

test('a request’s own retry is checked when it is made', (t) => {
  const agent = new HttpAgent();
  t.after(() => agent.destroy());
  for (const retry of ['always', { methods: 1 }]) {
    assert.throws(() => http.request({ agent, port: 1, retry }), { code: /^ERR_INVALID_ARG_/ });
  }
  assert.deepStrictEqual(agent.sockets, Object.create(null));
});

test('options of ours that a client library has of its own are not read of a request', async (t) => {
  // All of a request's options come here, and restify-clients, for one, says `connectTimeout: false`.
  for (const Ours of CLASSES) {
    const agent = new Ours({ rejectUnauthorized: false });
    t.after(() => agent.destroy());
    for (const options of [
      { connectTimeout: false, dnsCacheTtl: true, deadPeerTimeout: 'none', socketActiveTTL: {} },
      { maxReadAheadBytes: '1M', maxReplayBytes: -1, sendEarly: 'no', retry: 3 },
    ]) {
      const request = http.request({
        agent,
        protocol: agent.protocol,
        port: 1,
        host: '127.0.0.1',
        ...options,
      });
      const [error] = await once(request.end(), 'error');
      assert.strictEqual(error.code, 'ECONNREFUSED');
    }
  }
});

test('the defaults', () => {
  for (const Ours of CLASSES) {
    const agent = new Ours();
    assert.strictEqual(agent.keepAlive, true);
    assert.strictEqual(agent.options.keepAlive, true);
    assert.strictEqual(agent.options.noDelay, true);
    assert.strictEqual(agent.options.freeSocketTimeout, 4000);
    assert.strictEqual(agent.options.maxReadAheadBytes, 256 * 1024);
    assert.strictEqual(agent.options.maxBufferedBytes, 64 * 1024 * 1024);
    assert.strictEqual(agent.options.maxReplayBytes, 64 * 1024);
    assert.strictEqual(agent.options.maxSentAhead, 64);
    assert.strictEqual(agent.options.maxFreeSocketTimeout, 60_000);
    assert.strictEqual(agent.options.deadPeerTimeout, 20_000);
    assert.strictEqual(agent.options.socketActiveTTL, 600_000);
    for (const name of ['timeout', 'connectTimeout', 'dnsCacheTtl', 'retry']) {
      assert.strictEqual(agent.options[name], undefined, name);
    }
  }
});

test('agentkeepalive’s older names of freeSocketTimeout count if it is not given', () => {
  for (const [options, expected] of [
    [{ freeSocketKeepAliveTimeout: '7s' }, 7000],
    [{ keepAliveTimeout: 6000 }, 6000],
    [{ freeSocketKeepAliveTimeout: 7000, keepAliveTimeout: 6000 }, 7000],
    [{ freeSocketTimeout: 5000, freeSocketKeepAliveTimeout: 7000 }, 5000],
  ]) {
    assert.strictEqual(new HttpAgent(options).options.freeSocketTimeout, expected);
  }
});
