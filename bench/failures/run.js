'use strict';

const path = require('node:path');

const { CANDIDATES } = require('./agents');
const { MIXED_UP } = require('./attempts');
const { takes } = require('./rows');
const { IDLE_LIMIT, SPREAD, STALL_BEYOND } = require('./settings');
const { SITUATIONS } = require('./situations');
const { devDependencies: dependencies } = require('../../package.json');
const { countFailures } = require('../summary');
const { formatRow, formatTotals } = require('./table');
const { addUp, tally } = require('./tally');

const BASELINE = 'builtin';

/**
 * @param {(file: string, ...args: string[]) => import('../child').Child} start
 * @param {object} machine what the report says of it
 */
async function measureFailures(options, start, machine) {
  const server = start(path.join('failures', 'server.js'));
  const clients = new Map();
  const versions = {};
  for (const name of options.agents) {
    const client = start(
      path.join('failures', 'client.js'),
      name,
      ...(options.before ? [options.before] : []),
    );
    clients.set(name, client);
    ({ version: versions[name] } = await client.ask('prepare'));
  }
  const report = {
    ...machine,
    versions,
    before: options.before,
    turns: options.turns,
    slice: options.slice,
    idleLimit: IDLE_LIMIT,
    rows: [],
  };
  printHeading(report, options.cases);
  for (const row of options.cases) {
    const names = options.agents.filter((name) => takes(row, name));
    const agents = await measureRow(row, names, clients, server, options);
    report.rows.push({ ...row, agents });
    console.log(`\n${formatRow({ ...row, agents })}`);
  }
  report.totals = addRows(report.rows, options.agents);
  console.log(`\n${formatTotals(report.totals, options.agents)}`);
  report.problems = problemsOf(report.rows);
  return report;
}

async function measureRow({ id }, names, clients, server, { turns, slice }) {
  const ports = {};
  const slices = {};
  for (const name of names) {
    ports[name] = await server.ask('listen');
    slices[name] = [];
    await clients.get(name).ask('begin', id, ports[name]);
  }
  for (let turn = 0; turn < turns; turn++) {
    const order = turn % 2 === 0 ? names : names.toReversed();
    for (const name of order) slices[name].push(await clients.get(name).ask('slice', slice));
  }
  const figures = {};
  for (const name of names) {
    figures[name] = tally(slices[name], await server.ask('close', ports[name]));
    await clients.get(name).ask('end');
  }
  return figures;
}

/** By situation and method, over the call sites. */
function addRows(rows, names) {
  const totals = {};
  for (const [situation, { title }] of Object.entries(SITUATIONS)) {
    for (const method of ['GET', 'POST']) {
      const chosen = rows.filter((row) => row.situation === situation && row.method === method);
      if (chosen.length === 0) continue;
      const of = (name) =>
        chosen.map(({ agents }) => agents[name]).filter((figures) => figures !== undefined);
      const used = names.filter((name) => of(name).length > 0);
      totals[`${method} ${title}`] = Object.fromEntries(used.map((name) => [name, addUp(of(name))]));
    }
  }
  return totals;
}

/** What makes the run worthless as a comparison. A failed trial does not: it is the figure. */
function problemsOf(rows) {
  const problems = [];
  const all = rows.flatMap(({ agents }) => Object.values(agents));
  const openings = all.reduce((total, { openingFailures }) => total + countFailures(openingFailures), 0);
  if (openings > 0) problems.push(`${openings} requests failed that had no reason to`);
  const mixedUp = all.reduce((total, { failures }) => total + (failures[MIXED_UP] ?? 0), 0);
  if (mixedUp > 0) problems.push(`${mixedUp} requests got ${MIXED_UP}`);
  const silent = all.filter(({ trials }) => trials === 0).length;
  if (silent > 0) problems.push(`${silent} figures are of no request at all`);
  const baseline = rows.map(({ agents }) => agents[BASELINE]).filter((figures) => figures !== undefined);
  if (baseline.length > 0 && addUp(baseline).failed === 0) {
    problems.push(`nothing failed through ${CANDIDATES[BASELINE].title}: the run tells the agents not apart`);
  }
  return problems;
}

function printHeading({ node, system, versions, before, turns, slice }, rows) {
  console.log(`Node ${node}, ${system}`);
  const agents = Object.entries(versions).map(([name, version]) => `${CANDIDATES[name].title} ${version}`);
  console.log(`agents: ${agents.join(', ')}`);
  if (before) console.log(`${CANDIDATES.before.title}: ${before}`);
  const sites = [...new Set(rows.map(({ site }) => site))].map((site) =>
    site in dependencies ? `${site} ${dependencies[site]}` : site,
  );
  console.log(`call sites: ${sites.join(', ')}`);
  console.log(
    `server: closes a connection that has been idle for ${IDLE_LIMIT} ms, and does not say so; ` +
      `pauses of ${IDLE_LIMIT - SPREAD} to ${IDLE_LIMIT + SPREAD} ms, stalls of ${IDLE_LIMIT + STALL_BEYOND} ms`,
  );
  console.log(`turns: ${turns} of ${slice} ms; in parentheses the 95 % interval`);
}

module.exports = { measureFailures };
