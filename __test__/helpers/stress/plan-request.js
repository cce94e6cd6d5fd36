'use strict';

// One request of the stress run: its method and body, what the server does with it, and what its caller does.

const METHODS = ['GET', 'GET', 'GET', 'OPTIONS', 'HEAD', 'DELETE', 'POST', 'POST', 'PUT', 'PATCH'];
const WITH_BODY = ['POST', 'PUT', 'PATCH'];

/** Ends of a connection whose request is not answered (helpers/raw-server.js). */
const DEATHS = [
  'close',
  'half',
  'reset',
  'close/10',
  'reset/10',
  'half/10',
  'half-reset',
  'close@1',
  'reset@0',
];
/** Ends in the middle of an answer. */
const ENDS = ['close', 'half', 'reset'];
/** What a server says of its idle limit. */
const HINTS = ['timeout=0', 'timeout=1', 'timeout=5, max=100', 'max=0', 'max=1', 'max=2'];

/** Addresses with the port of the server: nobody is at the one, and at the other connects are not answered. */
const REFUSING = '127.0.8.1';
const HOLE = '127.0.9.1';

/** Bytes from which on a body is lent to Rust, if nothing else is in the way (lib/crossing/loans.js). */
const LENT = 512 * 1024;

/** Moments of a request in which its caller does something. */
const MOMENTS = ['socket', 'connect', 'finish', 'information', 'response', 'data', 'end', 'error', 'close'];
/** Turns of the loop, or parts of one, after the tick that makes a request. */
const TURNS = ['microtask', 'tick', 'ticks', 'immediate'];
/** Those in which Node goes on without harm to others, or to the end of the request, when a handler throws. */
const HARMLESS = MOMENTS.slice(0, -3);

/** A request of an agent; `idle`: what may come on an idle connection; `isCalm`: whether little goes wrong. */
function planRequest(random, id, agent, { idle, isCalm }) {
  if (random.chance(0.03)) return planTunnel(random, id, agent, isCalm);
  const method = random.pick(METHODS);
  const isOdd = !isCalm && random.chance(0.35);
  const answer = planAnswer(random, isCalm ? 1 : 0.9);
  const body = WITH_BODY.includes(method) ? planBody(random) : undefined;
  const plan = {
    id,
    agent: agent.number,
    ...planTarget(random, agent, isCalm),
    method,
    // A repetition gets an answer, mostly.
    acts: [planAct(random, isCalm, answer, body), random.chance(0.9) ? 'answer' : 'close'],
    answer,
    then: random.chance(isCalm ? 0.8 : 0.3) ? `${random.pick(idle)}/${random.integer(0, 60)}` : undefined,
    key: WITH_BODY.includes(method) && random.chance(0.2),
    retry: random.chance(0.05) ? false : undefined,
    body,
    stall: random.chance(isLarge(body) ? 0.4 : 0.03) ? random.integer(1, 30) : undefined,
    read: { way: 'flow' },
    deeds: [],
  };
  if (isOdd || random.chance(0.1)) {
    const way = random.pick(['pause', 'late', 'readable', 'portions', 'iterate', 'dump', 'leave']);
    plan.read = { way, ms: random.integer(0, 40) };
  }
  if (isOdd) for (let i = random.integer(0, 2); i > 0; i--) plan.deeds.push(planDeed(random));
  // The system would go on for minutes.
  if (plan.host === HOLE) plan.deeds.push({ after: random.integer(10, 60), what: 'destroy', how: 'request' });
  // In the middle of its bytes, mostly.
  if (isOdd && isLarge(body) && random.chance(0.5))
    plan.deeds.push({ after: random.integer(0, 8), what: 'destroy', how: random.pick(WAYS_TO_DESTROY) });
  return plan;
}

function isLarge(body) {
  return body !== undefined && body.size >= LENT;
}

/** Where it goes. Only agents of several addresses ask in vain: there is no limit that holds for them all. */
function planTarget(random, { hosts, lookup }, isCalm) {
  if (!isCalm && lookup === undefined && hosts.length > 1) {
    if (random.chance(0.03)) return { host: REFUSING };
    if (random.chance(0.02)) return { host: HOLE };
  }
  return { host: random.chance(0.8) ? hosts[0] : random.pick(hosts) };
}

/** A request that is to become a tunnel: `tunnel` is what its caller sends there, which comes back. */
function planTunnel(random, id, agent, isCalm) {
  const delay = random.chance(0.3) ? '/5' : '';
  return {
    id,
    agent: agent.number,
    host: random.pick(agent.hosts),
    method: random.pick(['CONNECT', 'GET']),
    acts: [!isCalm && random.chance(0.15) ? random.pick(DEATHS) : `switch${delay}`, 'switch'],
    answer: planAnswer(random, 1),
    key: false,
    read: { way: 'flow' },
    deeds: [],
    tunnel: {
      size: random.integer(
        ...random.pick([
          [0, 2000],
          [2000, 300_000],
          [LENT, 3 * LENT],
        ]),
      ),
      pieces: random.integer(1, 4),
      end: random.pick(['end', 'end', 'destroy']),
    },
  };
}

function planAct(random, isCalm, answer, body) {
  if (!isCalm && random.chance(0.15)) return random.pick(DEATHS);
  const early = body && random.chance(isCalm ? 0.05 : 0.15) ? `@${random.integer(0, body.size)}` : '';
  const delay = random.chance(0.3) ? `/${random.pick([3, 10, 20])}` : '';
  return `answer${early}${delay}`;
}

/** `goodness`: the share of answers that come whole. */
function planAnswer(random, goodness) {
  const sizes = random.pick([
    [0, 0],
    ...Array(14).fill([0, 2000]),
    [2000, 60_000],
    [2000, 60_000],
    [2000, 60_000],
    [60_000, 400_000],
  ]);
  const size = random.integer(...sizes);
  const plan = {
    status: random.chance(0.08) ? random.pick([204, 304]) : 200,
    size,
    framing: random.pick(['length', 'length', 'length', 'chunked', 'chunked', 'extended', 'close']),
    interim: random.chance(0.1) ? random.integer(1, 2) : 0,
    headers: random.chance(0.15) ? [`Keep-Alive: ${random.pick(HINTS)}`] : [],
    pieces: [],
  };
  if (random.chance(0.2)) {
    for (let i = random.integer(1, 4); i > 0; i--) plan.pieces.push([random.random(), random.integer(0, 5)]);
  } else if (size < 2000 && plan.framing !== 'close' && random.chance(0.05)) {
    plan.surplus = true;
  }
  if (plan.framing === 'close') {
    plan.end = 'half';
  } else if (random.chance(0.07)) {
    plan.headers.push('Connection: close');
    plan.end = 'half';
  }
  if (!random.chance(goodness)) {
    plan.stop = random.random();
    plan.end = random.pick(ENDS);
  }
  return plan;
}

/** Bytes of a body. */
const SIZES = [
  ...Array(10).fill([0, 2000]),
  ...Array(4).fill([2000, 70_000]),
  ...Array(3).fill([64_000, 300_000]),
  ...Array(3).fill([LENT, 4 * LENT]),
  // More than the kernel takes of one that is not read.
  [8 * LENT, 16 * LENT],
];

/**
 * How a request gets its body: `way` is how it is written (body.js), in so many pieces and with pauses of so many ms;
 * `trailers`: whether it has one behind its body.
 */
function planBody(random) {
  const body = {
    way: random.pick(['end', 'end', 'write', 'write', 'chunked', 'drain', 'flush', 'expect']),
    size: random.integer(...random.pick(SIZES)),
    pieces: random.integer(1, 5),
    ms: random.chance(0.5) ? random.integer(0, 5) : undefined,
  };
  if (body.way === 'chunked') body.trailers = random.chance(0.4);
  if (isLarge(body)) body.pieces = random.integer(1, 2);
  else if (random.chance(0.3)) body.encoding = random.pick(['utf8', 'latin1', 'utf16le']);
  return body;
}

const WAYS_TO_DESTROY = ['request', 'request', 'error', 'signal', 'socket', 'response', 'reset'];

/** What a caller does with a request in some moment: `at`, or `after` a turn or so many ms, or in the tick that made it. */
function planDeed(random) {
  const when = random.chance(0.6)
    ? { at: random.pick(MOMENTS) }
    : { after: random.pick([undefined, random.pick(TURNS), random.integer(0, 40)]) };
  const what = random.pick([
    'block',
    'block',
    'throw',
    'destroy',
    'destroy',
    'destroy',
    'timeout',
    'destroy-agent',
  ]);
  switch (what) {
    case 'block':
      return { ...when, what, ms: random.integer(0, 40) };
    case 'throw':
      return random.chance(0.3)
        ? { at: random.pick(MOMENTS), what, inTick: true }
        : { at: random.pick(HARMLESS), what, inTick: false };
    case 'destroy':
      return { ...when, what, ...planDestroy(random) };
    case 'timeout':
      return { what, ms: random.integer(1, 40) };
    default:
      return random.chance(0.1) ? { ...when, what } : { ...when, what: 'block', ms: 1 };
  }
}

/** How a request is destroyed, and for how many ms the loop is blocked before and behind that, if it is. */
function planDestroy(random) {
  const how = random.pick(WAYS_TO_DESTROY);
  return random.chance(0.5) ? { how } : { how, before: random.integer(0, 8), behind: random.integer(0, 8) };
}

module.exports = { DEATHS, HOLE, REFUSING, planDestroy, planRequest };
