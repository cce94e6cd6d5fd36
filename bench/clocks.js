'use strict';

const { performance } = require('node:perf_hooks');

const mainThreadCpu = require('./main-thread-cpu');

/** Time in ms; CPU time so far in µs. */
function readClocks() {
  const { user, system } = process.cpuUsage();
  return { time: performance.now(), mainCpu: mainThreadCpu.read(), processCpu: user + system };
}

/** What has passed since `start`. */
function since(start) {
  const now = readClocks();
  return {
    seconds: (now.time - start.time) / 1e3,
    mainCpu: now.mainCpu - start.mainCpu,
    processCpu: now.processCpu - start.processCpu,
  };
}

module.exports = { readClocks, since };
