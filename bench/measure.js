'use strict';

const path = require('node:path');

const { AGENTS, BASELINE, BEFORE } = require('./agents');
const { Child } = require('./child');
const { readCpu, shareOfOthers } = require('./neighbours');
const { bySeries } = require('./report');
const { addFailures, compare, countFailures, summarise } = require('./summary');
const { formatCase } = require('./table');
const { judge } = require('./verdicts');

/** Of the turns that others have, cases that take long have one in so many, and one at least. */
const SLOW = 8;

/**
 * Turns that a process is measured in before another takes its place. Where its memory lies and what was compiled when
 * is chance, which over all turns of one process would look like a property of the agent.
 */
const TURNS_OF_A_PROCESS = 7;

/** How long a process warms up, in slices. */
const WARM_UP = 2;

/**
 * What a request costs, case by case.
 * @param {(file: string, ...args: string[]) => Child} start
 * @param {object} machine what the report says of it
 */
async function measureCost(options, start, machine) {
  const servers = new Servers(start, options.servers);
  const report = {
    ...machine,
    ...(await readVersions(options)),
    before: options.before,
    turns: options.turns,
    slice: options.slice,
    failed: 0,
    cases: [],
    notMeasured: [],
  };
  printHeading(report);
  for (const benchCase of options.cases) {
    const result = await measureCase(benchCase, servers, options);
    if (result.obstacle !== undefined) {
      report.notMeasured.push(result);
      console.log(`\n${benchCase.title}: not measured, ${result.obstacle}`);
      continue;
    }
    report.cases.push(result);
    for (const failures of Object.values(result.failures)) report.failed += countFailures(failures);
    console.log(`\n${formatCase(result, benchCase.metrics)}`);
    if (result.others !== null) {
      console.log(`other processes had ${(result.others * 100).toFixed(0)} % of the CPUs meanwhile`);
    }
  }
  report.server = servers.descriptions;
  printTargets(report.cases);
  report.problems = [
    ...(report.failed > 0 ? [`${report.failed} requests failed`] : []),
    ...(report.cases.length === 0 ? ['nothing was measured'] : []),
  ];
  return report;
}

/** Started when a case first needs them. */
class Servers {
  #start;
  #kinds;
  #asked = new Map();
  descriptions = [];

  constructor(start, kinds) {
    this.#start = start;
    this.#kinds = kinds;
  }

  /** @returns {Promise<number[] | { obstacle: string }>} the ports for a case */
  async portsFor({ server, scheme }) {
    const kinds = server === undefined ? this.#kinds : [server];
    const key = kinds.join();
    if (!this.#asked.has(key)) this.#asked.set(key, this.#listen(kinds));
    const { ports, securePorts, obstacle } = await this.#asked.get(key);
    if (obstacle !== undefined) return { obstacle };
    if (scheme === 'https') return securePorts ?? { obstacle: 'this server has no TLS' };
    return ports;
  }

  async #listen(kinds) {
    try {
      const listening = await this.#start('server/main.js').ask('listen', kinds);
      this.descriptions.push(listening.description);
      console.log(`\nserver: ${listening.description}`);
      for (const note of listening.notes) console.log(`        ${note}`);
      return listening;
    } catch (error) {
      return { obstacle: error.message };
    }
  }
}

/** Candidates that cannot be loaded are found before anything is measured. */
async function readVersions({ agents, before }) {
  const versions = {};
  let mainCpuSource;
  for (const agent of agents) {
    const client = startClient(agent, before);
    try {
      const ready = await client.ask('prepare');
      versions[agent] = ready.version;
      mainCpuSource = ready.mainCpuSource;
    } finally {
      await client.stop();
    }
  }
  return { versions, mainCpuSource };
}

function startClient(agent, before, nodeOptions) {
  return new Child(path.join(__dirname, 'client.js'), [agent, ...(before ? [before] : [])], nodeOptions);
}

async function measureCase(benchCase, servers, options) {
  const { id, title, metrics, slow } = benchCase;
  const { agents, slice } = options;
  const ports = await servers.portsFor(benchCase);
  const obstacle = ports.obstacle ?? benchCase.obstacle?.(benchCase);
  if (obstacle !== undefined) return { id, title, obstacle };
  const before = readCpu();
  const clients = new Clients(benchCase, ports, options);
  const warmUps = [];
  const turns = [];
  const count = slow ? Math.ceil(options.turns / SLOW) : options.turns;
  try {
    while (turns.length < count) {
      // A slow case warms up by itself, and a process that it has measured is not measured again.
      if (!slow) {
        for (const agent of agents) warmUps.push({ [agent]: await clients.slice(agent, slice * WARM_UP) });
      }
      const until = Math.min(count, turns.length + (slow ? 1 : TURNS_OF_A_PROCESS));
      for (let turn = turns.length; turn < until; turn++) {
        // Whatever drifts during a turn (heat, neighbours) then favours nobody.
        const order = turn % 2 === 0 ? agents : agents.toReversed();
        const results = {};
        for (const agent of order) {
          results[agent] = await clients.slice(agent, slice);
          if (slow) await clients.stop();
        }
        turns.push(results);
      }
      await clients.stop();
    }
  } finally {
    await clients.stop();
  }
  const failuresOf = (agent) => {
    const slices = [...warmUps, ...turns].map((results) => results[agent]);
    return addFailures(slices.filter((result) => result !== undefined));
  };
  const isComparison = agents.includes('offloop') && agents.includes(BEFORE);
  return {
    id,
    title,
    agents,
    others: shareOfOthers(before, readCpu()),
    summary: summarise(turns, agents, metrics),
    comparison: isComparison ? compare(turns, 'offloop', BEFORE, metrics) : undefined,
    verdicts: judge(id, turns),
    failures: Object.fromEntries(agents.map((agent) => [agent, failuresOf(agent)])),
    slices: bySeries(turns, agents, metrics),
  };
}

/** A process for each candidate, begun on one case, so that no case finds what another has left in memory. */
class Clients {
  #case;
  #ports;
  #before;
  #running = new Map();

  constructor(benchCase, ports, { before }) {
    this.#case = benchCase;
    this.#ports = ports;
    this.#before = before;
  }

  async slice(agent, duration) {
    const { id, nodeOptions } = this.#case;
    let client = this.#running.get(agent);
    if (client === undefined) {
      client = startClient(agent, this.#before, nodeOptions);
      this.#running.set(agent, client);
      await client.ask('prepare');
      await client.ask('begin', id, this.#ports);
    }
    return client.ask('slice', duration);
  }

  async stop() {
    const clients = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(clients.map((client) => client.stop()));
  }
}

function printHeading({ node, system, mainCpuSource, versions, before, turns, slice }) {
  console.log(`Node ${node}, ${system}`);
  const titles = Object.entries(versions).map(([agent, version]) => `${AGENTS[agent].title} ${version}`);
  console.log(`agents: ${titles.join(', ')}`);
  if (before) console.log(`${AGENTS[BEFORE].title}: ${before}`);
  console.log(`CPU of the main thread: ${mainCpuSource}`);
  const ratios =
    BASELINE in versions ? `, and x ratio to ${AGENTS[BASELINE].title} in the same turn (min-max)` : '';
  console.log(`turns: ${turns} of ${slice} ms; median${ratios}`);
}

function printTargets(cases) {
  const verdicts = cases.flatMap((one) => one.verdicts);
  if (verdicts.length === 0) return;
  console.log(`\ntargets: ${verdicts.filter(({ met }) => met).length} of ${verdicts.length} met`);
}

module.exports = { measureCost };
