'use strict';

// Differential fuzzing: what a program sees of a response through our agent, of which Rust may have read the
// response, is what it sees through http.Agent, where Node's parser has. README.md has how it is run.

const { isDeepStrictEqual, parseArgs } = require('node:util');
const http = require('node:http');

const { HttpAgent } = require('../..');
const plainResponse = require('../../lib/response/plain-response');
const { ACTS, READERS, exchange } = require('./exchange');
const Random = require('./random');
const { FORGED, response } = require('./responses');
const startServers = require('./servers');
const { hasSurplus } = require('./surplus');

/** A difference is a finding if it is seen so often out of so many times; once may be a matter of time. */
const TRIES = 3;
const CONFIRMED = 2;

/** How often a response came without Node's parser. */
let handedOver = 0;
const { handOver } = plainResponse;
plainResponse.handOver = (...args) => {
  handedOver++;
  return handOver(...args);
};

/** Some exchanges, one after another on one agent. */
function makeCase(seed, number) {
  const random = Random.of(seed, number);
  const exchanges = random.many(random.int(1, 4), () => {
    // An end before the first byte has rules of its own (docs/retries).
    const text = response(random) || 'H';
    const method = random.pick(['GET', 'GET', 'GET', 'GET', 'POST', 'HEAD', 'PUT', 'OPTIONS']);
    return {
      options: { method, ...random.pick(OPTIONS) },
      body: method === 'POST' || method === 'PUT' ? 'body' : undefined,
      reader: random.pick(['flowing', 'flowing', 'flowing', ...Object.keys(READERS)]),
      act: random.chance(0.85) ? 'nothing' : random.pick(Object.keys(ACTS)),
      pieces: cut(random, text),
      end: random.chance(0.2) ? 'reset' : 'fin',
      // What comes behind it on the idle connection, which http.Agent would take for the next response.
      late: random.chance(0.1) ? random.pick([FORGED, '\r\n', 'HTTP/1.1 408 \r\n\r\n', 'x']) : undefined,
    };
  });
  for (const [index, exchange] of exchanges.entries()) {
    // Whether the next piece, or the end of the socket, comes before or after is a race.
    const races = exchange.pieces.length > 1 || exchange.act !== 'nothing';
    if (races && exchange.reader === 'later') exchange.reader = 'flowing';
    exchange.hasSurplus = hasSurplus(exchange);
    exchange.endsConnection = exchange.hasSurplus || exchange.late !== undefined;
    // A lane counts the bytes of all its connections.
    const follows = exchanges.slice(0, index).some((earlier) => earlier.endsConnection);
    if (follows && exchange.act === 'looks at the counters') exchange.act = 'nothing';
  }
  return exchanges;
}

const OPTIONS = [
  ...Array(12).fill({}),
  { headers: { Connection: 'close' } },
  { joinDuplicateHeaders: true },
  { insecureHTTPParser: true },
  { maxHeaderSize: 200 },
  { timeout: 60_000 },
  { setHost: false },
];

/** What is longer may be read in more pieces than it was written in, and then not in the same by both. */
const MAX_PIECE = 16 * 1024;

/** Cut at no place, some, or all. */
function cut(random, text) {
  const kind = random.next();
  if (kind < 0.5 || text.length === 0) return text.match(new RegExp(`[^]{1,${MAX_PIECE}}`, 'g')) ?? [];
  if (kind < 0.55 && text.length < 100) return [...text];
  const breaks = [...text.slice(0, 2000).matchAll(/\r|\n/g)].map(({ index }) => index + 1);
  const places = random.many(random.int(1, 4), () =>
    breaks.length > 0 && random.chance(0.5)
      ? random.pick(breaks)
      : random.int(1, random.chance(0.7) ? Math.min(text.length, 300) : text.length),
  );
  for (let place = MAX_PIECE; place < text.length; place += MAX_PIECE) places.push(place);
  const inside = new Set(places.filter((place) => place < text.length));
  const sorted = [0, ...inside, text.length].sort((a, b) => a - b);
  return sorted.slice(1).map((place, index) => text.slice(sorted[index], place));
}

/** The traces of all exchanges of a case. */
async function traces(ours, server, port, id, exchanges) {
  const agent = ours ? new HttpAgent() : new http.Agent({ keepAlive: true });
  const seen = [];
  for (const [index, one] of exchanges.entries()) {
    const name = `${id}.${index}`;
    seen.push(await exchange(agent, server, port, name, one));
    const idle = Object.values(agent.freeSockets).flat();
    if (!one.endsConnection || idle.length === 0) continue;
    if (ours && one.late !== undefined) {
      await server.writeAndWait(name, one.late);
    } else {
      // With http.Agent it could not but go wrong. The next request gets a new connection.
      const gone = new Promise((resolve) => idle[0].once('close', resolve));
      server.end(name, 'fin');
      await gone;
    }
  }
  agent.destroy();
  return seen.map((trace, index) => {
    const known = exchanges[index].hasSurplus ? withoutBooks(trace) : trace;
    return exchanges[index - 1]?.endsConnection ? withoutReuse(known) : known;
  });
}

/** Behind more than a response ours is closed, and http.Agent may not have noticed. */
function withoutBooks(trace) {
  return trace.filter(([, what]) => what !== 'books');
}

/** Whether the idle lane is gone before the next request, or only then found to have no connection, is a race. */
function withoutReuse(trace) {
  return JSON.parse(JSON.stringify(trace, (key, value) => (key === 'reusedSocket' ? undefined : value)));
}

/** Where two traces begin to differ, if they do. */
function difference(expected, actual) {
  for (const [index, trace] of expected.entries()) {
    if (isDeepStrictEqual(trace, actual[index])) continue;
    const at = trace.findIndex((entry, place) => !isDeepStrictEqual(entry, actual[index][place]));
    const from = at < 0 ? trace.length : at;
    return { exchange: index, at: from, expected: trace.slice(from), actual: actual[index].slice(from) };
  }
  return undefined;
}

async function runCase(server, seed, number, report) {
  const exchanges = makeCase(seed, number);
  const differences = [];
  for (let attempt = 0; attempt < (differences.length > 0 ? TRIES : 1); attempt++) {
    const id = `${number}-${attempt}`;
    const port = await server.listen(id);
    const expected = await traces(false, server, port, `node-${id}`, exchanges);
    const actual = await traces(true, server, port, `ours-${id}`, exchanges);
    server.close(id);
    const found = difference(expected, actual);
    if (found) differences.push(found);
  }
  if (differences.length === 0) return undefined;
  const isFinding = differences.length >= CONFIRMED;
  report({ seed, number, isFinding, exchanges, differences });
  return isFinding;
}

/**
 * Runs cases, several at a time, until there are `cases` of them or `seconds` have passed. Resolves to the
 * counts.
 */
async function fuzz({ seed, cases = Infinity, seconds = Infinity, first = 0, atOnce = 8, report, progress }) {
  const server = startServers();
  const before = handedOver;
  const end = Date.now() + seconds * 1000;
  const counts = { cases: 0, exchanges: 0, withoutParser: 0, findings: 0, unsteady: 0 };
  let next = first;
  const count = () => ({ ...counts, withoutParser: handedOver - before });
  const timer = progress && setInterval(() => progress(count()), 10_000);
  const work = async () => {
    while (next < first + cases && Date.now() < end) {
      const number = next++;
      const isFinding = await runCase(server, seed, number, report);
      counts.cases++;
      counts.exchanges += makeCase(seed, number).length;
      if (isFinding !== undefined) counts[isFinding ? 'findings' : 'unsteady']++;
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, work));
  } finally {
    clearInterval(timer);
    await server.stop();
  }
  return count();
}

function print({ seed, number, isFinding, exchanges, differences }) {
  const [{ exchange: index, at, expected, actual }] = differences;
  // A long body tells nothing.
  const short = (value) =>
    JSON.stringify(value, (key, part) =>
      typeof part === 'string' && part.length > 400 ? `${part.slice(0, 300)}... (${part.length})` : part,
    ).slice(0, 2000);
  console.log(
    [
      `${isFinding ? 'FINDING' : 'UNSTEADY'}: repeat with --seed ${seed} --case ${number}`,
      `  exchange ${index}, from event ${at} on:`,
      `  request    ${short({ ...exchanges[index], pieces: undefined })}`,
      `  response   ${short(exchanges[index].pieces)}`,
      `  http.Agent ${short(expected)}`,
      `  ours       ${short(actual)}`,
    ].join('\n'),
  );
}

async function main() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 1e9) },
      case: { type: 'string' },
      cases: { type: 'string' },
      seconds: { type: 'string' },
    },
  });
  const seed = Number(values.seed);
  const one = values.case === undefined ? {} : { first: Number(values.case), cases: 1 };
  const cases = values.cases === undefined ? {} : { cases: Number(values.cases) };
  const seconds = { seconds: Number(values.seconds ?? ((values.case ?? values.cases) ? Infinity : 60)) };
  console.log(`seed ${seed}`);
  const progress = (counts) => console.log(JSON.stringify(counts));
  const counts = await fuzz({ seed, ...seconds, ...cases, ...one, report: print, progress });
  console.log(JSON.stringify(counts));
  process.exitCode = counts.findings > 0 ? 1 : 0;
}

module.exports = { fuzz };

if (require.main === module) main();
