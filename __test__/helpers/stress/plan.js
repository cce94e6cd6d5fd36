'use strict';

// What a round of the stress run does: agents, requests, and what becomes of them. All of it is drawn from a generator
// before anything runs, so that the same seed is the same plan, whatever the network does meanwhile.

const { HOLE, REFUSING, planDestroy, planRequest } = require('./plan-request');

const AGENTS = 3;
/** ms that idle connections may last whose agent is dropped: it is waited for. */
const LONGEST_DROPPED = 150;
/** Addresses that each agent asks. */
const HOSTS = 2;

const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'];

/** What may come on an idle connection, over TLS more than that. */
const IDLE = ['close', 'close', 'half', 'reset', 'timeout', 'forge'];
const RECORDS = {
  'TLSv1.2': ['alert', 'notify', 'fin', 'plain', 'warning'],
  'TLSv1.3': ['alert', 'notify', 'fin', 'plain', 'warning', 'ticket', 'key-update'],
};

function hostsOf(number) {
  return Array.from({ length: HOSTS }, (_, i) => `127.0.${number + 1}.${i + 1}`);
}

/** The names of all addresses, by which agents with a `lookup` of their own ask for them. */
const NAMES = new Map();
for (let i = 0; i < AGENTS; i++) for (const host of hostsOf(i)) NAMES.set(host, `host-${host.slice(4)}.test`);

/**
 * A round: `agents`, `raw` (whether all is left to Node's parser) and `steps`, which are requests, ends of some made before,
 * pauses, times in which the loop is blocked or an address refuses connections, and changes and ends of agents. `name` begins the ids of its requests,
 * `version` is TLS's.
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
      // In the same tick.
      if (random.chance(0.02)) step('block', { ms: random.integer(0, 8) });
      if (!isCalm && random.chance(0.1))
        step('give-up', { ago: random.integer(1, 10), ...planDestroy(random) });
    }
    if (random.chance(0.5)) step('block', { ms: random.integer(0, 80) });
    if (!isCalm && random.chance(0.1)) step('change', planChange(random, random.pick(agents)));
    if (!isCalm && random.chance(0.04)) step('destroy', { agent: random.pick(agents).number });
    if (!isCalm && random.chance(0.04)) planDrop(random.pick(agents), step);
    if (!isCalm && random.chance(0.1))
      step('refuse', { host: random.pick(random.pick(agents).hosts), ms: random.integer(0, 40) });
    if (random.chance(0.05)) step('collect');
    step('wait', { forAll: random.chance(0.6), ms: random.integer(0, 60) });
    if (random.chance(0.2)) step('pause', { ms: random.integer(0, 30) });
    if (random.chance(0.2)) step('block', { ms: random.integer(0, 80) });
  }
  // Requests that are under way when their agent is destroyed.
  if (!isCalm && random.chance(0.3)) for (const { number: agent } of agents) step('destroy', { agent });
  return round;
}

/** Has an agent replaced by one like it. Its idle connections are for nobody, and have to end by themselves. */
function planDrop(agent, step) {
  if (agent.options.freeSocketTimeout > LONGEST_DROPPED) return;
  // Of each there may be so many.
  agent.most = Infinity;
  step('drop', { agent: agent.number });
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
  const lookup = random.chance(0.2) ? planLookup(random, options) : undefined;
  // Where there are several addresses Node's agent has more sockets than maxTotalSockets: one for each that goes idle.
  const hosts = hostsOf(number).slice(0, maxTotalSockets && random.chance(0.5) ? 1 : undefined);
  return {
    number,
    options,
    hosts,
    lookup,
    // Sockets to each address; a change may raise it.
    most: hosts.length > 1 ? maxSockets : Math.min(maxSockets, maxTotalSockets ?? Infinity),
  };
}

/** A lookup function's addresses before the right one. */
function planLookup(random, options) {
  const before = Array.from({ length: random.pick([0, 0, 1, 2]) }, () => random.pick([REFUSING, HOLE]));
  if (before.length > 0) options.autoSelectFamilyAttemptTimeout = random.integer(10, 40);
  // The right one may refuse, too; a busy machine may take seconds for a handshake.
  if (before.includes(HOLE)) options.connectTimeout = 10_000;
  return [...new Set(before)];
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

module.exports = { IDEMPOTENT, NAMES, planRound };
