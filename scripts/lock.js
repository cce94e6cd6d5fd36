'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { say } = require('./run.js');

const HEARTBEAT = 2_000;
const STALE = 10_000;

/**
 * Runs `fn` while no other process that uses the same file does. The holder touches the file; one
 * that was killed stops doing so, and its lock is then taken over. (Not by process id: those mean
 * nothing to a container that shares the folder.)
 */
async function exclusively(file, fn) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  for (let told = false; !acquire(file); told = true) {
    if (!told) say('another process is installing or building; waiting for it');
    await sleep(200);
  }
  const beat = setInterval(() => touch(file), HEARTBEAT);
  try {
    return await fn();
  } finally {
    clearInterval(beat);
    fs.rmSync(file, { force: true });
  }
}

function acquire(file) {
  try {
    fs.closeSync(fs.openSync(file, 'wx'));
    return true;
  } catch (err) {
    if (err.code !== 'EEXIST') throw err;
  }
  const age = Date.now() - (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  // Two that wait cannot take each other's new lock away here: who removes it looks again only later.
  if (age > STALE) fs.rmSync(file, { force: true });
  return false;
}

function touch(file) {
  const now = new Date();
  fs.utimes(file, now, now, () => {});
}

module.exports = { exclusively };
