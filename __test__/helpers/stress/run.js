'use strict';

// Rounds of the stress run, one after another, against a server of its own; and what may be left of them in memory.

const { transportOf } = require('../blocked');
const { collect } = require('../collection');
const { generator } = require('../generator');
const { blackHole } = require('../lane-server');
const { pause } = require('./body');
const { NAMES, planRound } = require('./plan');
const { HOLE } = require('./plan-request');
const { Round } = require('./round');

/** How many violations are told: others follow from the first ones. */
const TOLD = 10;
/** Bytes that V8 may hold beside its heap when all is over: what Rust keeps for reads is not of these. */
const LEFT_OUTSIDE = 16 * 1024 * 1024;

/**
 * Runs for so long, and resolves with `{ requests, outcomes, counts, violations }`. `version`: of TLS, or undefined;
 * `first`: the number of the first round; `isAlone`: whether no other thread of the process has sockets.
 */
async function stress(seconds, seed, { version, first = 0, watch, isAlone = true }) {
  const names = [...NAMES].flatMap(([host, name]) => [`ip:${host}`, `dns:${name}`]);
  const { Agent, request: make, start } = transportOf(version, names);
  const server = await start({ host: [...NAMES.keys()].join() });
  const ends = [() => server.stop()];
  const report = { requests: 0, outcomes: {}, counts: {}, violations: [] };
  const weak = [];
  try {
    await blackHole({ after: (end) => ends.push(end) }, HOLE, server.port);
    const end = performance.now() + seconds * 1000;
    for (let number = first; performance.now() < end && report.violations.length === 0; number++) {
      const plan = planRound(generator(seed * 1009 + number), `${number}`, version);
      const complain = (text) => {
        if (report.violations.length < TOLD)
          report.violations.push(`seed ${seed}, round ${number}${plan.raw ? ', raw' : ''}: ${text}`);
      };
      const means = { Agent, make, server, watch };
      weak.push(...(await playRound(plan, means, report, complain, isAlone)));
    }
  } finally {
    for (const end of ends.reverse())
      await Promise.resolve(end()).catch(({ message }) => report.violations.push(message));
  }
  for (const text of await leftOf(weak)) report.violations.push(`seed ${seed}: ${text}`);
  for (const error of watch.others.splice(0)) report.violations.push(`uncaught: ${error.stack}`);
  return report;
}

/** Plays a round, and adds it to the report; resolves with all that nobody may hold then. */
async function playRound(plan, means, report, complain, isAlone) {
  const round = new Round(plan, means);
  await round.run(complain, isAlone);
  round.addTo(report);
  return round.weak;
}

/** What is left in memory of these when garbage has been collected. */
async function leftOf(weak) {
  const alive = () => weak.flatMap((one) => one.deref()?.constructor.name ?? []);
  const outside = () => process.memoryUsage().external;
  const isLeft = () => alive().length > 0 || outside() > LEFT_OUTSIDE;
  // What the last timers hold goes with them.
  for (let i = 0; i < 50 && (i < 2 || isLeft()); i++) {
    await pause(50);
    collect();
  }
  const left = [];
  if (alive().length > 0)
    left.push(`${alive().length} of ${weak.length} were not collected, ${alive().slice(0, TOLD)}`);
  if (outside() > LEFT_OUTSIDE) left.push(`${outside()} bytes are left outside of the heap`);
  return left;
}

module.exports = { stress };
