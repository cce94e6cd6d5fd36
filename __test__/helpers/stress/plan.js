'use strict';

// What a round of the stress run does: agents, requests, and what becomes of them. All of it is drawn from a generator
// before anything runs, so that the same seed is the same plan, whatever the network does meanwhile.

const AGENTS = 3;
/** Addresses that each agent asks. */
const HOSTS = 2;

const METHODS = ['GET', 'GET', 'GET', 'OPTIONS', 'HEAD', 'DELETE', 'POST', 'POST', 'PUT', 'PATCH'];
const WITH_BODY = ['POST', 'PUT', 'PATCH'];
const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'];

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
/** What may come on an idle connection, over TLS more than that. */
const IDLE = ['close', 'close', 'half', 'reset', 'timeout', 'forge'];
const RECORDS = {
  'TLSv1.2': ['alert', 'notify', 'fin', 'plain', 'warning'],
  'TLSv1.3': ['alert', 'notify', 'fin', 'plain', 'warning', 'ticket', 'key-update'],
};
/** What a server says of its idle limit. */
const HINTS = ['timeout=0', 'timeout=1', 'timeout=5, max=100', 'max=0', 'max=1', 'max=2'];

/** Moments of a request in which its caller does something. */
const MOMENTS = ['socket', 'connect', 'finish', 'information', 'response', 'data', 'end', 'error', 'close'];
/** Those in which Node goes on without harm to others, or to the end of the request, when a handler throws. */
const HARMLESS = MOMENTS.slice(0, -3);

function hostsOf(number) {
  return Array.from({ length: HOSTS }, (_, i) => `127.0.${number + 1}.${i + 1}`);
}

/** The names of all addresses, by which agents with a `lookup` of their own ask for them. */
const NAMES = new Map();
for (let i = 0; i < AGENTS; i++) for (const host of hostsOf(i)) NAMES.set(host, `host-${host.slice(4)}.test`);

/**
 * A round: `agents`, `raw` (whether all is left to Node's parser) and `steps`, which are requests, pauses, times in which
 * the loop is blocked, and changes of agents. `name` begins the ids of its requests, `version` is TLS's.
 */
function planRound(random, name, version) {
  const agents = Array.from({ length: random.integer(1, AGENTS) }, (_, i) => planAgent(random, i));
  const idle = [...IDLE, ...(RECORDS[version] ?? [])];
  const round = { agents, raw: random.chance(0.2), steps: [] };
  const isCalm = random.chance(0.3);
  const total = random.integer(50, 250);
  const step = (kind, details) => round.steps.push({ kind, ...details });
  for (let count = 0; count < total;) {
    const most = random.pick(agents);
    for (let i = random.integer(1, 16); i > 0; i--, count++) {
      const agent = random.chance(0.7) ? most : random.pick(agents);
      step('request', planRequest(random, `${name}-${count}`, agent, { idle, isCalm }));
    }
    if (random.chance(0.5)) step('block', { ms: random.integer(0, 80) });
    if (!isCalm && random.chance(0.1)) step('change', planChange(random, random.pick(agents)));
    if (!isCalm && random.chance(0.04)) step('destroy', { agent: random.pick(agents).number });
    step('wait', { forAll: random.chance(0.6), ms: random.integer(0, 60) });
    if (random.chance(0.2)) step('pause', { ms: random.integer(0, 30) });
    if (random.chance(0.2)) step('block', { ms: random.integer(0, 80) });
  }
  // Requests that are under way when their agent is destroyed.
  if (!isCalm && random.chance(0.3)) for (const { number: agent } of agents) step('destroy', { agent });
  return round;
}

function planAgent(random, number) {
  const some = (share, options) => (random.chance(share) ? options() : {});
  const maxSockets = random.pick([1, 1, 2, 3, 8, Infinity]);
  const maxTotalSockets = random.chance(0.3) ? random.integer(1, 8) : undefined;
  const options = {
    keepAlive: random.chance(0.9),
    maxSockets,
    ...(maxTotalSockets && { maxTotalSockets }),
    // Where an idle socket keeps another address from getting one, Node waits for its end.
    freeSocketTimeout: random.pick(maxTotalSockets ? [15, 60, 150] : [15, 60, 4000, 4000]),
    scheduling: random.pick(['lifo', 'fifo']),
    sendEarly: random.pick(['safe', 'safe', 'all', 'all', false]),
    ...some(0.2, () => ({ maxFreeSockets: random.pick([1, 2]) })),
    ...some(0.2, () => ({ maxSentAhead: random.pick([0, 1, 3]) })),
    ...some(0.3, () => ({ maxBufferedBytes: random.pick([0, 1000, 100_000]) })),
    ...some(0.2, () => ({ maxReadAheadBytes: random.pick([50, 5000, 70_000]) })),
    ...some(0.15, () => ({ maxReplayBytes: random.pick([0, 2000, 500_000]) })),
    ...some(0.1, () => ({ socketActiveTTL: random.pick([30, 200]) })),
    ...some(0.1, () => ({ queueTimeout: random.integer(5, 100) })),
    ...some(0.05, () => ({ maxQueuedRequests: random.integer(0, 10) })),
    ...some(0.1, () => ({ timeout: random.integer(20, 100) })),
  };
  const retry = random.pick([undefined, undefined, undefined, false, 'all', 'unacknowledged']);
  if (retry === false) options.retry = false;
  if (retry === 'all') options.retry = { methods: [...IDEMPOTENT, 'POST', 'PATCH'] };
  if (retry === 'unacknowledged') options.retry = { unacknowledged: true };
  // Where there are several addresses Node's agent has more sockets than maxTotalSockets: one for each that goes idle.
  const hosts = hostsOf(number).slice(0, maxTotalSockets && random.chance(0.5) ? 1 : undefined);
  return {
    number,
    options,
    hosts,
    hasLookup: random.chance(0.15),
    // Sockets to each address; a change may raise it.
    most: hosts.length > 1 ? maxSockets : Math.min(maxSockets, maxTotalSockets ?? Infinity),
  };
}

/** A change of an agent that is in use: `members` of it, and of its options. */
function planChange(random, agent) {
  const change = { agent: agent.number, members: {}, options: {} };
  switch (random.integer(0, 4)) {
    case 0:
      change.members.maxSockets = random.integer(1, 8);
      agent.most = Math.max(agent.most, change.members.maxSockets);
      break;
    case 1:
      change.members.keepAlive = random.chance(0.5);
      break;
    case 2:
      change.members.scheduling = random.pick(['lifo', 'fifo']);
      break;
    case 3:
      change.options.freeSocketTimeout = random.pick([5, 50]);
      break;
    default:
      change.options.noDelay = random.chance(0.5);
  }
  return change;
}

function planRequest(random, id, agent, { idle, isCalm }) {
  const method = random.pick(METHODS);
  const isOdd = !isCalm && random.chance(0.35);
  const answer = planAnswer(random, isCalm ? 1 : 0.9);
  const body = WITH_BODY.includes(method) ? planBody(random) : undefined;
  const plan = {
    id,
    agent: agent.number,
    host: random.chance(0.8) ? agent.hosts[0] : random.pick(agent.hosts),
    method,
    // A repetition gets an answer, mostly.
    acts: [planAct(random, isCalm, answer, body), random.chance(0.9) ? 'answer' : 'close'],
    answer,
    then: random.chance(isCalm ? 0.8 : 0.3) ? `${random.pick(idle)}/${random.integer(0, 60)}` : undefined,
    key: WITH_BODY.includes(method) && random.chance(0.2),
    retry: random.chance(0.05) ? false : undefined,
    body,
    read: { way: 'flow' },
    deeds: [],
  };
  if (isOdd || random.chance(0.1)) {
    const way = random.pick(['pause', 'late', 'readable', 'iterate', 'dump', 'leave']);
    plan.read = { way, ms: random.integer(0, 40) };
  }
  if (isOdd) for (let i = random.integer(0, 2); i > 0; i--) plan.deeds.push(planDeed(random));
  return plan;
}

function planAct(random, isCalm, answer, body) {
  if (!isCalm && random.chance(0.15)) return random.pick(DEATHS);
  const early = body && random.chance(isCalm ? 0.05 : 0.15) ? `@${random.integer(0, body.size)}` : '';
  const delay = random.chance(0.3) ? `/${random.pick([3, 10, 20])}` : '';
  return `answer${early}${delay}`;
}

/** `goodness`: the share of answers that come whole. */
function planAnswer(random, goodness) {
  const size = random.chance(0.75)
    ? random.integer(0, 2000)
    : random.integer(...(random.chance(0.7) ? [2000, 60_000] : [60_000, 400_000]));
  const plan = {
    status: random.chance(0.05) ? 204 : 200,
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

/** How a request gets its body: `way` is how it is written (body.js), in so many pieces and with pauses of so many ms. */
function planBody(random) {
  const sizes = random.pick([
    [0, 2000],
    [0, 2000],
    [0, 2000],
    [2000, 70_000],
    [64_000, 300_000],
    [512_000, 700_000],
  ]);
  return {
    way: random.pick(['end', 'end', 'write', 'write', 'chunked', 'drain', 'flush', 'expect']),
    size: random.integer(...sizes),
    encoding: random.chance(0.3) ? random.pick(['utf8', 'latin1', 'utf16le']) : undefined,
    pieces: random.integer(1, 5),
    ms: random.chance(0.5) ? random.integer(0, 5) : undefined,
  };
}

/** What a caller does with a request in some moment: `at`, or `after` so many ms, or in the tick that made it. */
function planDeed(random) {
  const when = random.chance(0.6)
    ? { at: random.pick(MOMENTS) }
    : { after: random.chance(0.3) ? undefined : random.integer(0, 40) };
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
      return {
        ...when,
        what,
        how: random.pick(['request', 'request', 'error', 'signal', 'socket', 'response', 'reset']),
      };
    case 'timeout':
      return { what, ms: random.integer(1, 40) };
    default:
      return random.chance(0.1) ? { ...when, what } : { ...when, what: 'block', ms: 1 };
  }
}

module.exports = { AGENTS, DEATHS, IDEMPOTENT, NAMES, hostsOf, planRound };
