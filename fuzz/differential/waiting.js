'use strict';

// Fuzzing of what passes on while JavaScript blocks: a response of any kind is in front of requests that wait for its
// connection. Whatever Rust takes for its end, each of these gets its own answer, and the first one sees what it sees
// through http.Agent, where nothing waits behind it. README.md has how it is run.

const { isDeepStrictEqual, parseArgs } = require('node:util');
const http = require('node:http');

const { HttpAgent } = require('../..');
const Random = require('./random');
const { FORGED, response } = require('./responses');
const startServers = require('./servers');

/** The longest that one exchange may take, in ms. */
const PATIENCE = 30_000;
/** Cases that share one block. */
const AT_ONCE = 16;
/** How long it lasts behind the last of the responses, in ms, and how long at most. */
const BLOCK = 40;
const MAX_BLOCK = 2000;

/** What one write brings to the client's kernel before anything behind it could be sent. */
const MAX_TEXT = 16 * 1024;
/** Ms between two writes: the connection could have passed on. */
const PAUSE = 20;

const BEHIND = [FORGED, `\r\n${FORGED}`, `0\r\n\r\n${FORGED}`, 'HTTP/1.1 408 \r\n\r\n', '\r\n', '\0'];

function makeCase(seed, number) {
  const random = Random.of(seed, number);
  let text;
  do text = response(random) + (random.chance(0.3) ? random.pick(BEHIND) : '');
  while (text === '' || text.length > MAX_TEXT);
  return {
    text,
    /** Where it is parted, often just before its end; 0 if it is not. */
    cut: random.pick([0, 0, random.int(0, text.length - 1), Math.max(0, text.length - random.int(1, 4))]),
    // The others may have been sent on the connection by then.
    endsAfter: random.chance(0.3) ? 0 : 100,
    options: { method: random.pick(['GET', 'GET', 'HEAD', 'OPTIONS']), ...random.pick(OPTIONS) },
    waiting: random.many(random.int(1, 3), () => random.pick(['GET', 'GET', 'HEAD'])),
  };
}

const OPTIONS = [...Array(8).fill({}), { insecureHTTPParser: true }, { maxHeaderSize: 200 }];

/** Sends a request; resolves to what is seen of it. */
function send(agent, port, path, options) {
  const seen = [];
  const request = http.request({ host: '127.0.0.1', port, path: `/${path}`, agent, ...options });
  const patience = setTimeout(() => (seen.push('stuck'), request.destroy()), PATIENCE);
  request.on('information', ({ statusCode, rawHeaders }) => seen.push({ statusCode, rawHeaders }));
  request.on('error', ({ code, message }) => seen.push({ code, message }));
  request.on('upgrade', ({ statusCode, rawHeaders }, socket) => {
    seen.push({ statusCode, rawHeaders });
    socket.destroy();
  });
  request.on('response', (message) => {
    const { statusCode, statusMessage, httpVersion, rawHeaders } = message;
    let body = '';
    seen.push({ statusCode, statusMessage, httpVersion, rawHeaders });
    message.on('data', (chunk) => (body += chunk.toString('latin1')));
    message.on('error', ({ code }) => seen.push({ code }));
    message.on('close', () => seen.push({ body, trailers: message.rawTrailers, complete: message.complete }));
  });
  const closed = new Promise((resolve) => request.on('close', resolve));
  request.end();
  return closed.then(async () => {
    clearTimeout(patience);
    // Behind it the response closes.
    await new Promise(setImmediate);
    return seen;
  });
}

const bytesOf = (path, method) =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${method === 'HEAD' ? '' : path}`;

/** What is seen of an answer like that. */
const answerOf = (path, method) => [
  {
    statusCode: 200,
    statusMessage: 'OK',
    httpVersion: '1.1',
    rawHeaders: ['Content-Length', `${path.length}`],
  },
  { body: method === 'HEAD' ? '' : path, trailers: [], complete: true },
];

/** As http.Agent sees it with nothing behind it. */
async function sendAlone(port, path, options) {
  const agent = new http.Agent({ keepAlive: true });
  const seen = await send(agent, port, path, options);
  agent.destroy();
  return seen;
}

/** Prepares one case; returns what sends its requests at once, which returns what settles it when they are answered. */
async function begin(server, seed, number) {
  const { text, cut, endsAfter, options, waiting } = makeCase(seed, number);
  const id = `${seed}-${number}`;
  const port = await server.listen(id);
  let pieces = [text];
  if (cut > 0) {
    const start = text.slice(0, cut);
    await server.prepare(`${id}.start`, [start], { endsAfter: 0 });
    // Whoever sends a request behind a whole response takes what comes then for its answer, as http.Agent does.
    const isWhole = (await sendAlone(port, `${id}.start`, { method: options.method })).some(
      ({ complete }) => complete,
    );
    if (!isWhole) pieces = [start, text.slice(cut)];
  }
  const queue = waiting.map((method, index) => ({ path: `${id}.${index}`, method }));
  for (const path of [`${id}.ours`, `${id}.node`]) {
    await server.prepare(path, pieces, { pause: PAUSE, endsAfter });
  }
  for (const { path, method } of queue) await server.prepare(path, [bytesOf(path, method)]);
  return () => {
    const agent = new HttpAgent({ maxSockets: 1 });
    const first = send(agent, port, `${id}.ours`, options);
    const others = queue.map(({ path, method }) => send(agent, port, path, { method }));
    return async () => {
      const actual = [await first, ...(await Promise.all(others))];
      const { ahead } = agent.stats()[`127.0.0.1:${port}`];
      agent.destroy();
      const expected = [await sendAlone(port, `${id}.node`, options)];
      server.close(id);
      for (const { path, method } of queue) expected.push(answerOf(path, method));
      const index = expected.findIndex((seen, at) => !isDeepStrictEqual(seen, actual[at]));
      const finding = index < 0 ? undefined : { index, expected: expected[index], actual: actual[index] };
      return { requests: actual.length, ahead, finding };
    };
  };
}

/** Computes until `isOver`, and a while longer. */
function block(isOver) {
  const end = Date.now() + MAX_BLOCK;
  while (!isOver() && Date.now() < end);
  for (const until = Date.now() + BLOCK; Date.now() < until;);
}

/** Runs cases until there are `cases` of them or `seconds` have passed. Resolves to the counts. */
async function fuzzWaiting({ seed, cases = Infinity, seconds = Infinity, first = 0, report, progress }) {
  const server = startServers();
  const end = Date.now() + seconds * 1000;
  const counts = { cases: 0, requests: 0, ahead: 0, findings: 0 };
  const timer = progress && setInterval(() => progress(counts), 10_000);
  try {
    for (let next = first; next < first + cases && Date.now() < end;) {
      const count = Math.min(AT_ONCE, first + cases - next);
      const numbers = Array.from({ length: count }, (_, index) => next + index);
      next += count;
      const begins = await Promise.all(numbers.map((number) => begin(server, seed, number)));
      const before = server.answered();
      const settles = begins.map((start) => start());
      block(() => server.answered() - before >= count);
      for (const [index, { requests, ahead, finding }] of (
        await Promise.all(settles.map((settle) => settle()))
      ).entries()) {
        counts.cases++;
        counts.requests += requests;
        counts.ahead += ahead;
        if (finding === undefined) continue;
        counts.findings++;
        report({ seed, number: numbers[index], ...makeCase(seed, numbers[index]), ...finding });
      }
    }
  } finally {
    clearInterval(timer);
    await server.stop();
  }
  return counts;
}

async function main() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 1e9) },
      case: { type: 'string' },
      seconds: { type: 'string', default: '60' },
    },
  });
  const seed = Number(values.seed);
  const which =
    values.case === undefined
      ? { seconds: Number(values.seconds) }
      : { first: Number(values.case), cases: 1 };
  console.log(`seed ${seed}`);
  const print = (what) => console.log(JSON.stringify(what).slice(0, 4000));
  const counts = await fuzzWaiting({ seed, ...which, report: print, progress: print });
  print(counts);
  process.exitCode = counts.findings > 0 ? 1 : 0;
}

module.exports = { fuzzWaiting };

if (require.main === module) main();
