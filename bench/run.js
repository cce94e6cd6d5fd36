'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { AGENTS, BASELINE, BEFORE } = require('./agents');
const { Child } = require('./child');
const { measureFailures } = require('./failures/run');
const { USAGE, UsageError, readOptions } = require('./options');
const { addFailures, compare, countFailures, summarise } = require('./summary');
const { formatCase } = require('./table');

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(USAGE);
    return;
  }
  const children = [];
  const start = (file, ...args) => {
    const child = new Child(path.join(__dirname, file), args);
    children.push(child);
    return child;
  };
  try {
    const report = await (options.failures ? measureFailures : measure)(options, start, describeMachine());
    if (options.json) fs.writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
    for (const problem of report.problems) console.log(`\n${problem}`);
    if (report.problems.length > 0) process.exitCode = 1;
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

function describeMachine() {
  return {
    node: process.version,
    system: `${os.type()} ${os.release()} ${os.arch()}, ${os.availableParallelism()} CPUs, load ${os.loadavg()[0].toFixed(2)} at start`,
  };
}

async function measure(options, start, machine) {
  const server = await start('server/main.js').ask('listen', options.servers);
  const clients = new Map();
  const versions = {};
  let mainCpuSource;
  for (const agent of options.agents) {
    const client = start('client.js', agent, ...(options.before ? [options.before] : []));
    clients.set(agent, client);
    const ready = await client.ask('prepare');
    versions[agent] = ready.version;
    mainCpuSource = ready.mainCpuSource;
  }
  const report = {
    ...machine,
    server: server.description,
    mainCpuSource,
    versions,
    before: options.before,
    turns: options.turns,
    slice: options.slice,
    failed: 0,
    cases: [],
  };
  printHeading(report, server.notes);
  for (const benchCase of options.cases) {
    const port = benchCase.scheme === 'https' ? server.securePort : server.port;
    if (port === undefined) {
      console.log(`\n${benchCase.title}: not measured, this server has no TLS`);
      continue;
    }
    const result = await measureCase(benchCase, clients, port, options);
    report.cases.push(result);
    for (const failures of Object.values(result.failures)) report.failed += countFailures(failures);
    console.log(`\n${formatCase(result)}`);
  }
  report.problems = report.failed > 0 ? [`${report.failed} requests failed`] : [];
  return report;
}

async function measureCase({ id, title }, clients, port, { turns: count, slice }) {
  const agents = [...clients.keys()];
  const warmUp = [];
  for (const agent of agents) {
    await clients.get(agent).ask('begin', id, port);
    warmUp.push({ [agent]: await clients.get(agent).ask('slice', slice) });
  }
  const turns = [];
  for (let turn = 0; turn < count; turn++) {
    // Whatever drifts during a turn (heat, neighbours) then favours nobody.
    const order = turn % 2 === 0 ? agents : agents.toReversed();
    const results = {};
    for (const agent of order) results[agent] = await clients.get(agent).ask('slice', slice);
    turns.push(results);
  }
  for (const client of clients.values()) await client.ask('end');
  const failuresOf = (agent) => {
    const slices = [...warmUp, ...turns].map((results) => results[agent]);
    return addFailures(slices.filter((result) => result !== undefined));
  };
  const failures = Object.fromEntries(agents.map((agent) => [agent, failuresOf(agent)]));
  const comparison =
    agents.includes('offloop') && agents.includes(BEFORE) ? compare(turns, 'offloop', BEFORE) : undefined;
  return { id, title, agents, summary: summarise(turns, agents), comparison, failures, turns };
}

function printHeading({ node, system, server, mainCpuSource, versions, before, turns, slice }, notes) {
  console.log(`Node ${node}, ${system}`);
  console.log(
    `agents: ${Object.keys(versions)
      .map((agent) => `${AGENTS[agent].title} ${versions[agent]}`)
      .join(', ')}`,
  );
  if (before) console.log(`${AGENTS[BEFORE].title}: ${before}`);
  console.log(`server: ${server}`);
  for (const note of notes) console.log(`        ${note}`);
  console.log(`CPU of the main thread: ${mainCpuSource}`);
  const ratios =
    BASELINE in versions ? `, and x ratio to ${AGENTS[BASELINE].title} in the same turn (min-max)` : '';
  console.log(`turns: ${turns} of ${slice} ms; median${ratios}`);
}

main().catch((error) => {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else {
    console.error(error.message);
    process.exitCode = 1;
  }
});
