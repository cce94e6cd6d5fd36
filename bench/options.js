'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { AGENTS, BEFORE } = require('./agents');
const { CASES } = require('./cases');
const { CANDIDATES } = require('./failures/agents');
const { ROWS, takes } = require('./failures/rows');
const { KINDS } = require('./server/kinds');

// Many short slices rather than few long ones: on a busy machine a median needs turns more than it needs time.
const QUICK = { turns: 4, slice: 300 };
const FULL = { turns: 21, slice: 500 };

// Here what counts is the number of requests, and every row has to be waited for.
const QUICK_FAILURES = { turns: 2, slice: 350 };
const FULL_FAILURES = { turns: 9, slice: 700 };

const USAGE = `node bench/run.js [options]

What a request costs:
  --quick            ${QUICK.turns} turns of ${QUICK.slice} ms instead of ${FULL.turns} of ${FULL.slice} ms
  --only <regexp>    cases whose id matches: ${CASES.map((one) => one.id).join(', ')}
  --agents <a,b>     of ${Object.keys(AGENTS).join(', ')}
  --before <folder>  compare with another checkout of offloop, built; with nothing else unless --agents says so
  --turns <n>        measured slices of each agent and case
  --slice <ms>       length of a slice
  --server <kind>    of ${KINDS.join(', ')}; otherwise the first of them that starts (some cases need own)
  --json <file>      write every slice's figures as well
  --publish          write them to docs/benchmarks/ and refresh the charts and tables of the documents
  --charts           measure nothing: refresh them from the figures that are there

--failures           how many requests fail instead: at the server's idle limit, and after stalls of the loop
  --quick            ${QUICK_FAILURES.turns} turns of ${QUICK_FAILURES.slice} ms instead of ${FULL_FAILURES.turns} of ${FULL_FAILURES.slice} ms
  --only <regexp>    rows whose id matches: get-limit-http.request, …, post-stall-jayson
  --agents <a,b>     of ${Object.keys(CANDIDATES).join(', ')}
  --before, --turns, --slice, --json as above

--help`;

class UsageError extends Error {}

/** Slices are in ms. Throws a UsageError. */
function readOptions(args) {
  const { values } = parse(args);
  const { charts = false, failures = false, publish = false, quick = false } = values;
  if (charts && args.length > 1) throw new UsageError('--charts takes no other option');
  if (publish) refusePartial(values);
  const preset = failures ? (quick ? QUICK_FAILURES : FULL_FAILURES) : quick ? QUICK : FULL;
  const agents = readAgents(values, Object.keys(failures ? CANDIDATES : AGENTS));
  // undici has call sites of its own.
  const all = failures ? ROWS.filter((row) => agents.some((agent) => takes(row, agent))) : CASES;
  if (failures && values.server !== undefined) throw new UsageError('--failures has a server of its own');
  return {
    help: values.help ?? false,
    failures,
    charts,
    publish,
    turns: readPositive('turns', values.turns) ?? preset.turns,
    slice: readPositive('slice', values.slice) ?? preset.slice,
    cases: readCases(values.only, all),
    agents,
    before: readBefore(values),
    servers: readServers(values.server),
    json: readJson(values.json),
  };
}

function parse(args) {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const options = {
    charts: flag,
    failures: flag,
    publish: flag,
    quick: flag,
    help: flag,
    only: text,
    agents: text,
    before: text,
    turns: text,
    slice: text,
    server: text,
    json: text,
  };
  try {
    return parseArgs({ args, options });
  } catch (error) {
    throw new UsageError(error.message);
  }
}

/** What is published is a whole run: each target is judged, and nobody was chosen. */
function refusePartial(values) {
  for (const name of ['failures', 'quick', 'only', 'agents', 'before']) {
    if (values[name] !== undefined) throw new UsageError(`--publish cannot be used with --${name}`);
  }
}

function readPositive(name, text) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`--${name} must be a whole number above 0`);
  return Number(text);
}

function readCases(only, all) {
  let pattern;
  try {
    pattern = new RegExp(only ?? '');
  } catch (error) {
    throw new UsageError(`--only: ${error.message}`);
  }
  const cases = all.filter((one) => pattern.test(one.id));
  if (cases.length === 0) throw new UsageError(`--only ${only} matches no case of these agents`);
  return cases;
}

function readAgents({ agents, before, failures }, known) {
  if (agents === undefined) {
    if (before === undefined) return known.filter((name) => name !== BEFORE);
    // The fewer take turns, the closer in time are the two that are compared. Failures are counted, not timed.
    return failures ? known : [BEFORE, 'offloop'];
  }
  const names = [...new Set(agents.split(','))];
  for (const name of names) {
    if (!known.includes(name)) throw new UsageError(`--agents: there is no ${JSON.stringify(name)}`);
  }
  if (names.includes(BEFORE) !== (before !== undefined)) {
    throw new UsageError(`--before <folder> and ${JSON.stringify(BEFORE)} among --agents need each other`);
  }
  return names;
}

/** The absolute path of the other build. */
function readBefore({ before }) {
  if (before === undefined) return undefined;
  // It names one binary, for whichever folder: both sides would be the same build.
  if (process.env.OFFLOOP_BINARY) throw new UsageError('--before cannot be used with OFFLOOP_BINARY');
  const folder = path.resolve(before);
  let name;
  try {
    ({ name } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')));
  } catch (error) {
    throw new UsageError(`--before: ${error.message}`);
  }
  if (name !== 'offloop') throw new UsageError(`--before: ${folder} is the package ${JSON.stringify(name)}`);
  return folder;
}

function readServers(kind) {
  if (kind === undefined) return KINDS;
  if (!KINDS.includes(kind)) throw new UsageError(`--server: there is no ${JSON.stringify(kind)}`);
  return [kind];
}

/** A run takes minutes: what cannot be written at its end is to be known at its beginning. */
function readJson(file) {
  if (file === undefined) return undefined;
  const folder = path.dirname(path.resolve(file));
  if (!fs.existsSync(folder)) throw new UsageError(`--json: there is no folder ${folder}`);
  return file;
}

module.exports = { USAGE, UsageError, readOptions };
