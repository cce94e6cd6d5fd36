'use strict';

const { createHash } = require('node:crypto');

/** Milliseconds on the system's monotonic clock, which all processes of the machine share. */
function now() {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const parent = process.ppid;
const block = Buffer.alloc(16 * 1024, 'offloop');

/**
 * Computes for `ms` milliseconds without giving the event loop a turn.
 * @returns {{ start: number, end: number }} when, on the clock of `now()`
 */
function stall(ms) {
  const start = now();
  let end = start;
  while (end - start < ms) {
    createHash('sha256').update(block).digest();
    // The parent's end comes as a 'disconnect' event, which a blocked loop cannot see.
    if (process.ppid !== parent) process.exit(1);
    end = now();
  }
  return { start, end };
}

module.exports = { now, sleep, stall };
