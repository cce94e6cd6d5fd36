'use strict';

// Random requests against a server that does everything wrong:
//   node stress.js [seconds] [seed[:round]] [TLSv1.2 | TLSv1.3]
// Over TCP unless a version of TLS is given; from that round on, if one is named. Prints the seed, and what it found
// against the rules; exit status 1 if it found something. Part of the suite by ../stress.test.js, for a few seconds.
//
// What happens is planned before (stress/plan.js), done (stress/call.js) and judged (stress/judge.js) by what the server
// has seen (stress/evidence.js). Here are the rounds, and what must be left of each in the end: nothing.

const { subscribe } = require('node:diagnostics_channel');
const v8 = require('node:v8');
const vm = require('node:vm');
const slots = require('../../lib/slots');
const { block, openSockets, transportOf, until } = require('./blocked');
const { generator } = require('./generator');
const { pause } = require('./stress/body');
const { Call, Deliberate, Given } = require('./stress/call');
const { Evidence } = require('./stress/evidence');
const { judge, outcomeOf } = require('./stress/judge');
const { NAMES, planRound } = require('./stress/plan');

/** How many violations are told: others follow from the first ones. */
const TOLD = 10;
/** ms until a request that has not settled is lost. */
const LOST = 20_000;
/** ms until all that is left of a round must be gone. */
const SOON = 5000;
/** ms after which a process that has nothing left to do must have ended. */
const EXIT_WITHIN = 3000;

/** Uncaught exceptions, by whether a handler of ours has thrown them. */
const uncaught = { deliberate: 0, others: [] };
/** Requests that were sent again, as the channel tells. */
const retried = new WeakSet();

/** Runs for so long, and resolves with `{ requests, outcomes, counts, violations }`. */
async function stress(seconds, seed, version, first = 0) {
  const names = [...NAMES].flatMap(([host, name]) => [`ip:${host}`, `dns:${name}`]);
  const { Agent, request: make, start } = transportOf(version, names);
  const server = await start({ host: '0.0.0.0' });
  const report = { requests: 0, outcomes: {}, counts: {}, violations: [] };
  const end = performance.now() + seconds * 1000;
  const weak = [];
  try {
    for (let number = first; performance.now() < end && report.violations.length === 0; number++) {
      const plan = planRound(generator(seed * 1009 + number), `${number}`, version);
      const complain = (text) => {
        if (report.violations.length < TOLD)
          report.violations.push(`seed ${seed}, round ${number}${plan.raw ? ', raw' : ''}: ${text}`);
      };
      weak.push(...(await playRound(plan, { Agent, make, server }, report, complain)));
    }
  } finally {
    await server.stop().catch(({ message }) => report.violations.push(message));
  }
  const alive = await aliveOf(weak);
  if (alive.length > 0)
    report.violations.push(
      `seed ${seed}: ${alive.length} of ${weak.length} were not collected, ${alive.slice(0, TOLD)}`,
    );
  for (const error of uncaught.others.splice(0)) report.violations.push(`uncaught: ${error.stack}`);
  return report;
}

/** Plays a round, and adds it to the report; resolves with all that nobody may hold then. */
async function playRound(plan, means, report, complain) {
  const round = new Round(plan, means);
  await round.run(complain);
  round.addTo(report);
  return round.weak;
}

class Round {
  #plan;
  #make;
  #server;
  #agents;
  #calls = [];
  /** Of the server's events, those of rounds before. */
  #offset;
  #stats = [];

  constructor(plan, { Agent, make, server }) {
    this.#plan = plan;
    this.#make = make;
    this.#server = server;
    this.#agents = plan.agents.map(
      ({ options, hasLookup }) => new Agent({ ...options, ...(hasLookup && { lookup }) }),
    );
    this.#offset = server.events().length;
  }

  async run(complain) {
    const sockets = openSockets();
    const before = { ...uncaught };
    const { agents, raw } = this.#plan;
    const limits = agents.flatMap(({ hosts, most }) => hosts.map((host) => [host, most]));
    await this.#server.command({ limits: Object.fromEntries(limits.filter(([, most]) => most < Infinity)) });
    const path = process.env.OFFLOOP_PATH;
    if (raw) process.env.OFFLOOP_PATH = 'raw';
    for (const step of this.#plan.steps) await this.#take(step);
    await this.#settle();
    for (const agent of this.#agents) agent.destroy();
    if (path === undefined) delete process.env.OFFLOOP_PATH;
    else process.env.OFFLOOP_PATH = path;

    await this.#expectNothingLeft(sockets, complain);
    const thrown = this.#calls.reduce((sum, call) => sum + call.thrown, 0);
    if (uncaught.deliberate - before.deliberate !== thrown)
      complain(`${thrown} exceptions were thrown, ${uncaught.deliberate - before.deliberate} were seen`);
    for (const error of uncaught.others.splice(0)) complain(`uncaught: ${error.stack}`);
    this.#stats = this.#agents.map((agent) => Object.values(agent.stats()));
    this.#checkStats(complain);
    judge(this.#calls, agents, this.#evidence, retried, complain);
  }

  get #evidence() {
    return new Evidence(this.#server.events().slice(this.#offset));
  }

  async #take(step) {
    const agent = this.#agents[step.agent];
    switch (step.kind) {
      case 'request':
        this.#request(step);
        break;
      case 'block':
        block(step.ms);
        break;
      case 'pause':
        await pause(step.ms);
        break;
      case 'wait': {
        const all = this.#calls.map(({ settled }) => settled);
        await Promise.race([step.forAll ? Promise.all(all) : Promise.race(all), pause(step.ms)]);
        break;
      }
      case 'change':
        Object.assign(agent, step.members);
        Object.assign(agent.options, step.options);
        break;
      case 'destroy':
        this.#destroy(step.agent);
        break;
      default:
        throw new Error(`no such step: ${step.kind}`);
    }
  }

  #request(plan) {
    const { hasLookup } = this.#plan.agents[plan.agent];
    const host = hasLookup ? NAMES.get(plan.host) : plan.host;
    const target = { agent: this.#agents[plan.agent], host, port: this.#server.port };
    this.#calls.push(new Call(plan, this.#make, target, () => this.#destroy(plan.agent)));
  }

  /** Ends what an agent has now; it goes on with what comes after that. */
  #destroy(number) {
    for (const call of this.#calls) if (call.plan.agent === number && call.closes === 0) call.isCut = true;
    this.#agents[number].destroy();
  }

  /** Until all have settled, or are lost. */
  async #settle() {
    const isSettled = () => this.#calls.every(({ isSettled }) => isSettled);
    await until(isSettled, LOST).catch(() => {});
  }

  /** What is left of sockets, requests, and all that they hold, when all is over. */
  async #expectNothingLeft(sockets, complain) {
    const left = () => {
      const occupied = slots.everybody().length;
      const descriptors = openSockets() - sockets;
      const agents = this.#agents.map((agent) => booksOf(agent)).filter((books) => books !== '');
      return [
        ...agents,
        ...(occupied > 0 ? [`${occupied} places`] : []),
        ...(descriptors > 0 ? [`${descriptors} descriptors`] : []),
        ...this.#calls.filter(({ isSettled }) => !isSettled).map(({ id }) => `request ${id}`),
      ];
    };
    await until(() => left().length === 0, SOON).catch(() =>
      complain(`after destroy(): ${left().join(', ')}`),
    );
    // The server reads of the ends later: those of this round must not count as connections of the next.
    await until(() => this.#evidence.open.length === 0, SOON).catch(() => {
      const lives = this.#evidence.open.map(({ connection }) => this.#evidence.lifeOf(connection));
      complain(`the server still has connections: ${lives}`);
    });
  }

  #checkStats(complain) {
    for (const [number, origins] of this.#stats.entries()) {
      for (const { connections, queued, opened, closes } of origins) {
        const { busy, idle, connecting } = connections;
        const closed = sum(Object.values(closes));
        if (busy + idle + connecting + queued > 0 || opened !== closed)
          complain(`agent ${number}: ${JSON.stringify({ connections, queued, opened, closes })}`);
      }
      const repeated = sum(origins.map(({ retries: { R4, R5, R6 } }) => R4 + R5 + R6));
      const calls = this.#calls.filter(({ plan }) => plan.agent === number);
      const seen = calls.filter(({ request }) => request.attempts === 2).length;
      const ended = calls.filter(({ isAborted, isCut }) => isAborted || isCut).length;
      if (repeated < seen || repeated > seen + ended)
        complain(`agent ${number}: ${repeated} repetitions were counted, ${seen} requests know of one`);
    }
  }

  addTo(report) {
    const { outcomes, counts } = report;
    report.requests += this.#calls.length;
    for (const call of this.#calls) {
      const outcome = outcomeOf(call);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    for (const { requests, reuses, ahead, saved, retries } of this.#stats.flat())
      for (const [name, count] of Object.entries({ requests, reuses, ahead, saved, ...retries }))
        counts[name] = (counts[name] ?? 0) + count;
  }

  /** All that nobody may hold when it is over, as weak references. */
  get weak() {
    return [...this.#agents.map((agent) => new WeakRef(agent)), ...this.#calls.flatMap((call) => call.weak)];
  }
}

function booksOf({ totalSocketCount, sockets, freeSockets, requests }) {
  const names = [sockets, freeSockets, requests].flatMap(Object.keys);
  return totalSocketCount === 0 && names.length === 0 ? '' : `${totalSocketCount} sockets, books of ${names}`;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** As dns.lookup(), for the names of the plan. */
function lookup(name, { all }, callback) {
  const [address] = [...NAMES].find(([, own]) => own === name);
  setTimeout(() => (all ? callback(null, [{ address, family: 4 }]) : callback(null, address, 4)), 1);
}

/** What of these is left when garbage has been collected, by the names of their classes. */
async function aliveOf(weak) {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc');
  const alive = () => weak.flatMap((one) => one.deref()?.constructor.name ?? []);
  // What the last timers hold goes with them.
  for (let i = 0; i < 50 && (i < 2 || alive().length > 0); i++) {
    await pause(50);
    collect();
  }
  return alive();
}

/** A program of its own: what handlers throw reaches nobody else, and it has to end by itself. */
async function main() {
  const [, , seconds = 30, start = String(Math.floor(Math.random() * 2 ** 21)), version] = process.argv;
  const [seed, first] = start.split(':').map(Number);
  console.log(`seed ${seed}`);
  process.on('uncaughtException', (error) => {
    if (error instanceof Deliberate) uncaught.deliberate++;
    // Nobody listens to a socket between a request and the pool: who destroys it then has it thrown, with http.Agent too.
    else if (error.name !== 'AbortError' && !(error instanceof Given)) uncaught.others.push(error);
  });
  subscribe('offloop:request:retried', ({ request }) => retried.add(request));
  try {
    const { requests, outcomes, counts, violations } = await stress(
      Number(seconds),
      seed,
      version || undefined,
      first,
    );
    console.log(`${requests} requests`, outcomes, counts);
    for (const text of violations) console.log(text);
    process.exitCode = violations.length > 0 ? 1 : 0;
  } catch (error) {
    console.log(error);
    process.exitCode = 1;
  }
  setTimeout(() => {
    console.log('the process does not end by itself');
    process.exit(1);
  }, EXIT_WITHIN).unref();
}

main();
