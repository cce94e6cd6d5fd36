'use strict';

const { parseArgs } = require('node:util');

const { AGENTS } = require('./agents');
const { CASES } = require('./cases');
const { KINDS } = require('./server/kinds');

// Many short slices rather than few long ones: on a busy machine a median needs turns more than it needs time.
const QUICK = { turns: 9, slice: 500 };
const FULL = { turns: 15, slice: 2000 };

const USAGE = `node bench/run.js [options]

  --quick            ${QUICK.turns} turns of ${QUICK.slice} ms instead of ${FULL.turns} of ${FULL.slice} ms, and quick cases only
  --only <regexp>    cases whose id matches: ${CASES.map((one) => one.id).join(', ')}
  --agents <a,b>     of ${Object.keys(AGENTS).join(', ')}
  --turns <n>        measured slices of each agent and case
  --slice <ms>       length of a slice
  --server <kind>    of ${KINDS.join(', ')}; otherwise the first of them that starts
  --json <file>      write every slice's figures as well
  --help`;

class UsageError extends Error {}

/** Slices are in ms. Throws a UsageError. */
function readOptions(args) {
  const { values } = parse(args);
  const preset = values.quick ? QUICK : FULL;
  return {
    help: values.help ?? false,
    turns: readPositive('turns', values.turns) ?? preset.turns,
    slice: readPositive('slice', values.slice) ?? preset.slice,
    cases: readCases(values),
    agents: readAgents(values.agents),
    servers: readServers(values.server),
    json: values.json,
  };
}

function parse(args) {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const options = {
    quick: flag,
    help: flag,
    only: text,
    agents: text,
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

function readPositive(name, text) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`--${name} must be a whole number above 0`);
  return Number(text);
}

function readCases({ only, quick }) {
  let pattern;
  try {
    pattern = new RegExp(only ?? '');
  } catch (error) {
    throw new UsageError(`--only: ${error.message}`);
  }
  const cases = CASES.filter((one) => (one.quick || !quick) && pattern.test(one.id));
  if (cases.length === 0) throw new UsageError(`--only ${only} matches no case`);
  return cases;
}

function readAgents(list) {
  const names = list === undefined ? Object.keys(AGENTS) : [...new Set(list.split(','))];
  for (const name of names) {
    if (!Object.hasOwn(AGENTS, name)) throw new UsageError(`--agents: there is no ${JSON.stringify(name)}`);
  }
  return names;
}

function readServers(kind) {
  if (kind === undefined) return KINDS;
  if (!KINDS.includes(kind)) throw new UsageError(`--server: there is no ${JSON.stringify(kind)}`);
  return [kind];
}

module.exports = { USAGE, UsageError, readOptions };
