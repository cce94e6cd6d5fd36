'use strict';

// A round of the stress run: plays its plan, has it judged, and sees what is left in the end, which is nothing.

const slots = require('../../../lib/crossing/slots');
const { block, openSockets, until } = require('../blocked');
const { pause } = require('./body');
const { Call } = require('./call');
const { collect } = require('../collection');
const { Evidence } = require('./evidence');
const { judge, outcomeOf } = require('./judge');
const { NAMES } = require('./plan');

/** ms until a request that has not settled is lost. */
const LOST = 20_000;
/** ms until all that is left of a round must be gone. */
const SOON = 5000;

class Round {
  #plan;
  #make;
  #server;
  #watch;
  /** Those that requests go to, by their numbers. */
  #agents;
  /** All that there have been, each with its number. */
  #everyAgent = [];
  #calls = [];
  /** Of the server's events, those of rounds before. */
  #offset;
  #stats = [];

  #Agent;

  /** `watch`: of what handlers have thrown (watch.js). */
  constructor(plan, { Agent, make, server, watch }) {
    this.#plan = plan;
    this.#make = make;
    this.#server = server;
    this.#watch = watch;
    this.#Agent = Agent;
    this.#agents = plan.agents.map((agent) => this.#newAgent(agent));
    this.#offset = server.events().length;
  }

  /** `isAlone`: whether no other thread of the process has sockets. */
  async run(complain, isAlone) {
    const sockets = isAlone ? openSockets() : Infinity;
    const before = this.#watch.deliberate;
    const { agents, raw } = this.#plan;
    await this.#server.command({ limits: isAlone ? limitsOf(agents) : {} });
    const path = process.env.OFFLOOP_PATH;
    if (raw) process.env.OFFLOOP_PATH = 'raw';
    for (const step of this.#plan.steps) await this.#take(step);
    await this.#settle();
    for (const agent of this.#agents) agent.destroy();
    await until(() => this.#evidence.refusing.length === 0);
    if (path === undefined) delete process.env.OFFLOOP_PATH;
    else process.env.OFFLOOP_PATH = path;

    await this.#expectNothingLeft(sockets, complain);
    const thrown = this.#calls.reduce((sum, call) => sum + call.thrown, 0);
    if (this.#watch.deliberate - before !== thrown)
      complain(`${thrown} exceptions were thrown, ${this.#watch.deliberate - before} were seen`);
    for (const error of this.#watch.others.splice(0)) complain(`uncaught: ${error.stack}`);
    this.#stats = agents.map(({ number }) => this.#statsOf(number));
    this.#checkStats(complain);
    judge(this.#calls, agents, this.#evidence, this.#watch.retried, complain);
  }

  #newAgent({ number, options, lookup }) {
    const agent = new this.#Agent({ ...options, ...(lookup && { lookup: findingBehind(lookup) }) });
    this.#everyAgent.push({ number, agent });
    return agent;
  }

  #statsOf(wanted) {
    return this.#everyAgent
      .filter(({ number }) => number === wanted)
      .flatMap(({ agent }) => Object.values(agent.stats()));
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
      case 'give-up':
        this.#giveUp(step);
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
        this.#destroy(agent);
        break;
      case 'drop':
        this.#agents[step.agent] = this.#newAgent(this.#plan.agents[step.agent]);
        break;
      case 'refuse':
        this.#server.post({ refuse: step });
        break;
      case 'collect':
        collect();
        break;
      default:
        throw new Error(`no such step: ${step.kind}`);
    }
  }

  #request(plan) {
    const host = this.#plan.agents[plan.agent].lookup ? NAMES.get(plan.host) : plan.host;
    const agent = this.#agents[plan.agent];
    const target = { agent, host, port: this.#server.port };
    this.#calls.push(new Call(plan, this.#make, target, () => this.#destroy(agent)));
  }

  /** Of the requests that were made so many before. */
  #giveUp({ ago, ...deed }) {
    const call = this.#calls.at(-ago);
    if (call !== undefined && !call.isSettled) call.giveUp(deed);
  }

  /** Ends what an agent has now; it goes on with what comes after that. */
  #destroy(agent) {
    for (const call of this.#calls) if (call.request.agent === agent && call.closes === 0) call.isCut = true;
    agent.destroy();
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
      const agents = this.#everyAgent.map(({ agent }) => booksOf(agent)).filter((books) => books !== '');
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
    return [
      ...this.#everyAgent.map(({ agent }) => new WeakRef(agent)),
      ...this.#calls.flatMap((call) => call.weak),
    ];
  }
}

function booksOf({ totalSocketCount, sockets, freeSockets, requests }) {
  const names = [sockets, freeSockets, requests].flatMap(Object.keys);
  return totalSocketCount === 0 && names.length === 0 ? '' : `${totalSocketCount} sockets, books of ${names}`;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/**
 * How many connections there may be to each address. Where other threads start processes nobody can say: such a process
 * holds all of this one's sockets, also those that are closed meanwhile, until it runs its own program.
 */
function limitsOf(agents) {
  const limits = agents.flatMap(({ hosts, most }) => hosts.map((host) => [host, most]));
  return Object.fromEntries(limits.filter(([, most]) => most < Infinity));
}

/** As dns.lookup(), for the names of the plan; `before`: addresses that all names have, too. */
function findingBehind(before) {
  return (name, { all }, callback) => {
    const [own] = [...NAMES].find(([, one]) => one === name);
    const found = [...before, own].map((address) => ({ address, family: 4 }));
    setTimeout(() => (all ? callback(null, found) : callback(null, own, 4)), 1);
  };
}

module.exports = { Round };
