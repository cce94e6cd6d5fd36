'use strict';

// A randomised run against a server that does everything wrong: `node stress.js [seconds] [seed] [version]`,
// over TLS if a version of it (TLSv1.2, TLSv1.3) is given.
// Prints the seed, and what it found against the rules; exit status 1 if it found something.
// Part of the suite by ../stress.test.js, for a few seconds.

const { block, now, openSockets, send, socketStates, transportOf, until } = require('./blocked');
const { generator } = require('./generator');

const METHODS = ['GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE'];
const ANSWERS = [
  'ok',
  'ok',
  'ok',
  'ok/3',
  'ok/20',
  'chunked',
  'chunked',
  'slow-body',
  'last',
  'hint',
  'double',
];
const DEATHS = ['close', 'half', 'reset', 'close/10', 'reset/10', 'half/10', 'close@1', 'reset@0'];
const PARTS = ['part-head', 'part-body', 'part-chunk', 'part-body-reset', 'processing-close'];
const IDLE = ['close', 'close', 'half', 'reset', 'timeout', 'forge'];
/** What may come on an idle connection over TLS besides. */
const RECORDS = {
  'TLSv1.2': ['alert', 'notify', 'fin', 'plain', 'warning'],
  'TLSv1.3': ['alert', 'notify', 'fin', 'plain', 'warning', 'ticket', 'key-update'],
};
/** Those behind which the connection lives on. */
const HARMLESS = ['warning', 'ticket', 'key-update'];
const IDEMPOTENT = ['GET', 'HEAD', 'PUT', 'DELETE'];
/** How many of the server's events a violation tells of each connection. */
const TOLD = 20;
/** How many violations are told. */
const TOLD_VIOLATIONS = 10;
/** ms until a request that has not settled is lost. */
const LOST = 20_000;

/** The same seed, the same run, as far as the network allows. Runs for so long, and returns `{ requests, ahead, outcomes, violations }`; `ahead`: those that were sent while they waited. */
async function stress(seconds, seed, version) {
  const random = generator(seed);
  const { Agent, start: startServer } = transportOf(version);
  const server = await startServer();
  server.idle = [...IDLE, ...(RECORDS[version] ?? [])];
  const report = { requests: 0, ahead: 0, outcomes: {}, violations: [] };
  const end = performance.now() + seconds * 1000;
  try {
    for (let number = 0; performance.now() < end && report.violations.length === 0; number++) {
      await round(random, server, Agent, report, number);
    }
  } finally {
    await server.stop();
  }
  return report;
}

async function round(random, server, Agent, report, number) {
  const sockets = openSockets();
  const options = {
    keepAlive: random.chance(0.9),
    maxSockets: random.integer(1, 8),
    freeSocketTimeout: random.pick([15, 60, 4000]),
    scheduling: random.pick(['lifo', 'fifo']),
    ...(random.chance(0.15) && { retry: false }),
    ...(random.chance(0.4) && { sendEarly: 'all' }),
  };
  const agent = new Agent(options);
  await server.command({ limit: options.maxSockets });
  const requests = [];
  const count = random.integer(20, 120);
  const calm = random.chance(0.3);
  while (requests.length < count) {
    const batch = random.integer(1, options.maxSockets * 2);
    const waves = [];
    for (let i = 0; i < batch; i++)
      waves.push(start(random, server, agent, `${number}-${requests.length}`, requests, calm));
    if (random.chance(0.4)) block(random.integer(0, 80));
    if (random.chance(0.7)) await Promise.race([Promise.all(waves), pause(random.integer(0, 60))]);
    else await Promise.race(waves);
    if (random.chance(0.2)) await pause(random.integer(0, 30));
    if (random.chance(0.2)) block(random.integer(0, 80));
  }
  const cut = random.chance(0.2);
  if (!cut) await Promise.race([Promise.all(requests.map((one) => one.settled)), pause(LOST)]);
  for (const { ahead } of Object.values(agent.stats())) report.ahead += ahead;
  agent.destroy();
  await Promise.race([Promise.all(requests.map((one) => one.settled)), pause(LOST)]);

  const complain = (text) => {
    // The first ones say it, and others follow from them.
    if (report.violations.length < TOLD_VIOLATIONS)
      report.violations.push(`round ${number} ${JSON.stringify(options)}: ${text}`);
  };
  const gone = () =>
    agent.totalSocketCount === 0 && Object.keys(agent.sockets).length === 0 && openSockets() === sockets;
  await until(gone, 5000).catch(() =>
    complain(
      `after destroy(): totalSocketCount ${agent.totalSocketCount}, sockets ${Object.keys(agent.sockets)}, ` +
        `${openSockets()} descriptors, ${sockets} before`,
    ),
  );
  // The server reads of the ends later: those of this round must not count as connections of the next.
  await until(() => openConnections(server).length === 0, 5000).catch(() =>
    complain(
      `the server still has connections: ${openConnections(server).map((one) => lifeOf(one, server))}`,
    ),
  );
  judge(requests, server, { ...options, cut }, complain);
  report.requests += requests.length;
  for (const one of requests) report.outcomes[one.outcome] = (report.outcomes[one.outcome] ?? 0) + 1;
}

function start(random, server, agent, id, requests, calm) {
  const method = random.pick(METHODS);
  const has = method === 'POST' || method === 'PUT';
  const act =
    calm || random.chance(0.7) ? random.pick(ANSWERS) : random.pick(random.chance(0.75) ? DEATHS : PARTS);
  const one = { id, method, act, at: now(), aborted: false, responses: 0, errors: [], closes: 0, ended: 0 };
  one.key = has && random.chance(0.2);
  requests.push(one);
  const body = has ? Buffer.alloc(random.integer(1, random.chance(0.1) ? 200_000 : 2000), id) : undefined;
  const result = send(agent, server, {
    id,
    method,
    // The answer to a repetition is a good one, mostly.
    act: `${act},${random.chance(0.9) ? 'ok' : 'close'}`,
    then: random.chance(calm ? 0.8 : 0.3)
      ? `${random.pick(server.idle)}/${random.integer(0, 60)}`
      : undefined,
    headers: one.key ? { 'Idempotency-Key': id } : undefined,
    body: has && random.chance(0.3) ? (request) => inPieces(random, request, body) : body,
  });
  const { request } = result;
  one.request = request;
  request.on('socket', (socket) => (one.socket = socket));
  request.on('response', (response) => {
    one.responses++;
    one.status = response.statusCode;
    one.answer = response.headers['x-id'];
    let text = '';
    response.on('data', (chunk) => (text += chunk));
    response.on('end', () => {
      one.ended++;
      one.text = text;
      one.complete = response.complete;
    });
  });
  request.on('error', (error) => {
    one.errors.push(error);
    one.port ??= request.socket?.localPort;
    one.reused ??= request.reusedSocket;
  });
  one.settled = new Promise((resolve) => {
    request.on('close', () => {
      one.closes++;
      resolve();
    });
  });
  if (random.chance(0.08)) {
    const abort = () => {
      one.aborted = true;
      request.destroy();
    };
    const delay = random.integer(-5, 30);
    if (delay < 0) abort();
    else setTimeout(abort, delay);
  }
  return one.settled;
}

async function inPieces(random, request, body) {
  const size = Math.max(1, Math.ceil(body.length / random.integer(1, 5)));
  for (let at = 0; at < body.length && !request.destroyed; at += size) {
    request.write(body.subarray(at, at + size));
    if (random.chance(0.5)) await pause(random.integer(0, 5));
  }
  request.end();
}

/** The connections that the server has not seen the end of. */
function openConnections(server) {
  const ended = new Set(
    ['client-fin', 'gone'].flatMap((type) => server.events(type)).map((e) => e.connection),
  );
  return server.events('accept').filter(({ connection }) => !ended.has(connection));
}

/** The last that the server has seen of a connection, and the state of its end of it in the kernel. */
function lifeOf({ connection, port }, server) {
  return `${eventsOf(({ connection: one }) => one === connection, server)} ${socketStates(port).slice(0, 3)}`;
}

/** The last that the server has seen of a request, and of the connections it had to do with, on a line each. */
function historyOf({ id, request, errors: [error], port, socket }, server) {
  const connections = new Set(server.events(undefined, id).map(({ connection }) => connection));
  const local = port ?? socket?.localPort;
  const accepted = server.events('accept').filter((event) => event.port === local);
  // A port may come again.
  if (local !== undefined && accepted.length > 0) connections.add(accepted.at(-1).connection);
  connections.delete(undefined);
  const seen = [...connections].map((connection) =>
    eventsOf((event) => event.connection === connection || event.id === id, server),
  );
  if (connections.size === 0) seen.push(eventsOf((event) => event.id === id, server));
  const facts = { code: error?.code, reason: error?.reason, connection: error?.connection };
  return [
    `at ${now().toFixed(1)}, port ${local}`,
    `attempts ${request.attempts} ${JSON.stringify(facts)}`,
    ...seen,
  ].join('\n    ');
}

function eventsOf(isWanted, server) {
  return server
    .events()
    .filter(isWanted)
    .slice(-TOLD)
    .map(({ at, ...event }) => `${at.toFixed(1)} ${JSON.stringify(event)}`)
    .join(' ');
}

/** The rules. */
function judge(requests, server, options, complain) {
  const arrivals = new Map();
  const served = new Set();
  for (const { id, nth } of server.events('request')) {
    arrivals.set(id, (arrivals.get(id) ?? 0) + 1);
    if (nth > 1) served.add(id);
  }
  const endings = new Map();
  for (const { connection, at, record } of server.events('closed'))
    if (!HARMLESS.includes(record)) endings.set(connection, endings.get(connection) ?? at);
  // A port may come again: the last connection from it that was there before the request ended.
  const byPort = new Map(server.events('accept').map(({ port, connection }) => [port, connection]));
  const connectionOf = (one) => byPort.get(one.port ?? one.socket?.localPort);
  // Where a forged answer has crossed a request on the wire it was the answer to that, and the connection goes on.
  const crossed = new Set(requests.filter(({ answer }) => answer === 'forged').map(connectionOf));
  for (const accepted of server.events('accept').slice(server.judged ?? 0)) {
    if (accepted.open <= options.maxSockets) continue;
    const lives = server
      .events('accept')
      .filter(({ connection }) => [...accepted.beside, accepted.connection].includes(connection))
      .map((one) => `\n    ${lifeOf(one, server)}`);
    complain(`connection ${accepted.connection} was number ${accepted.open} at a time${lives.join('')}`);
  }
  server.judged = server.events('accept').length;

  for (const one of requests) {
    const { id, method, act, request } = one;
    const came = arrivals.get(id) ?? 0;
    const [error] = one.errors;
    one.outcome = one.aborted ? 'aborted' : error ? error.code : one.ended ? `${one.status}` : 'cut short';
    const say = (text) =>
      complain(
        `${id} ${method} ${act}: ${text} (came ${came}, attempts ${request.attempts}, reused ${one.reused ?? request.reusedSocket}, ${one.outcome} ${error?.message ?? ''})\n    ${historyOf(one, server)}`,
      );

    if (one.closes !== 1) say(`settled ${one.closes} times`);
    if (one.responses > 1 || one.errors.length > 1 || one.ended > 1) say('more than one outcome');
    if (one.responses === 0 && error === undefined && !one.aborted) say('neither response nor error');

    const repeatable = (IDEMPOTENT.includes(method) || one.key) && options.retry !== false;
    if (came > (repeatable ? 2 : 1)) say('came too often');
    if (came === 2 && request.attempts !== 2 && !one.aborted && !options.cut)
      say('a repetition that the caller does not see');
    if (request.attempts > 2 || (request.attempts === 2 && !repeatable)) say('attempts');

    const ending = endings.get(connectionOf(one));
    const known = ending !== undefined && ending < one.at;
    if (one.responses > 0 && one.answer !== id) {
      // What crosses the request on the wire cannot be told from its answer.
      const crossing = one.answer === 'forged' || one.status === 408;
      // Nor can what follows on such a connection: the answer that it should have had is the next one's.
      if (isDisplaced(one, requests)) continue;
      if (!crossing || known)
        say(
          `got the answer of ${one.answer}, status ${one.status}, sent ${(one.at - ending).toFixed(2)} ms before`,
        );
    }
    if (one.complete && one.answer === id && one.status === 200) {
      const want = method === 'HEAD' ? '' : `ok:${id}`;
      if (one.text !== want) say(`got ${JSON.stringify(one.text)}`);
      // What is sent again gets another answer.
      if (act.startsWith('part') && method !== 'HEAD' && came === 1) say('a part passed for the whole');
    }
    if (error === undefined || one.aborted || options.cut || one.responses > 0) continue;
    if (act.startsWith('part') || act === 'processing-close' || error.code.startsWith('HPE')) continue;
    // Of a request that waited for a socket, and of a lane that went idle while it was connecting,
    // reusedSocket says nothing about the connection, as with http.Agent. The server knows.
    const reused = (came > 0 ? served.has(id) : one.reused) && request.attempts === 1;
    if (reused && repeatable && !isLarge(one)) say('a failure that could have been repaired');
    if (reused && came === 0 && known && !crossed.has(connectionOf(one)))
      say('sent on a connection that was known to be dead');
    if (!reused && request.attempts === 1 && came > 0 && !DEATHS.includes(act))
      say('failed on a good fresh connection');
  }
}

/** Whether the request got the answer of one that got that of another … that got a forged one or a 408. */
function isDisplaced(one, requests) {
  let other = one;
  for (let i = 0; i < requests.length; i++) {
    const { answer } = other;
    other = requests.find(({ id }) => id === answer);
    if (other === undefined || other.answer === other.id) return false;
    if (other.answer === 'forged' || other.status === 408) return true;
  }
  return false;
}

/** Larger than what is kept for a repetition. */
function isLarge({ request }) {
  return (
    Number(request.getHeader('content-length') ?? Infinity) > 60_000 &&
    ['POST', 'PUT'].includes(request.method)
  );
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

module.exports = { stress };

if (require.main === module) {
  const [, , seconds = 30, seed = Math.floor(Math.random() * 2 ** 31), version] = process.argv;
  console.log(`seed ${seed}`);
  stress(Number(seconds), Number(seed), version).then(({ requests, ahead, outcomes, violations }) => {
    console.log(`${requests} requests, ${ahead} while they waited`, outcomes);
    for (const text of violations) console.log(text);
    process.exitCode = violations.length > 0 ? 1 : 0;
  });
}
