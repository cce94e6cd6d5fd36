'use strict';

const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const v8 = require('node:v8');

const { readClocks, since } = require('./clocks');

// The code has to be compiled before memory is looked at first.
const WARM_UP = 2000; // requests, on one connection
const SETTLE = 500; // ms, after all have been opened
const COLLECTION = 300; // ms, after each garbage collection
// CPU when idle is little: it takes a while to see it.
const IDLE_SHARE = 6; // of a slice's duration
/** Files that a process has open besides the connections. */
const OTHER_FILES = 100;
const KIB = 1024;

/**
 * Opens many connections, lets them be idle, and says what each costs. In a process of its own, with these flags of
 * V8: memory that was in use once, or a young generation that has grown, would be taken for that of the connections.
 */
const NODE_OPTIONS = ['--expose-gc', '--max-semi-space-size=1'];

/**
 * As many connections as there are requests under way at once are opened, so each port has its share in turn: all at
 * the same time would leave the garbage of thousands of requests behind. The first port is that of the warm-up.
 */
async function idleConnections({ connections, concurrency }, { exchanges }, duration) {
  const [warmUp, ...others] = exchanges;
  const failures = {};
  const attempt = (one) =>
    one().catch((error) => {
      failures[error.message] = (failures[error.message] ?? 0) + 1;
    });
  for (let i = 0; i < WARM_UP; i++) await attempt(warmUp);
  const before = await settledMemory();
  const opening = readClocks();
  for (const one of others.slice(0, connections / concurrency)) {
    await Promise.all(Array.from({ length: concurrency }, () => attempt(one)));
  }
  const opened = since(opening);
  await sleep(SETTLE);
  const after = await settledMemory();
  const count = after.sockets - before.sockets;
  const idle = await measureIdle(duration * IDLE_SHARE);
  const kept = countSockets() - before.sockets;
  if (kept < connections) failures[`only ${kept} of ${connections} connections stayed`] = 1;
  const each = (key) => (after[key] - before[key]) / count / KIB;
  return {
    connections: kept,
    rss: each('rss'),
    heap: each('heap'),
    native: each('native'),
    ...idle,
    openMainCpu: opened.mainCpu / count,
    openProcessCpu: opened.processCpu / count,
    failures,
  };
}

/**
 * Bytes after a collection. Native is what is resident and not V8's heap: libuv, OpenSSL, Rust, buffers. V8's share
 * is what it has of physical memory, since not all that it reserves is resident.
 */
async function settledMemory() {
  // What the first one finalises, the second one frees; and V8 gives memory back on other threads.
  for (let i = 0; i < 2; i++) {
    globalThis.gc();
    await sleep(COLLECTION);
  }
  const { used_heap_size: heap, total_physical_size: physical } = v8.getHeapStatistics();
  const rss = process.memoryUsage.rss();
  return { rss, heap, native: rss - physical, sockets: countSockets() };
}

async function measureIdle(duration) {
  // In this order, looking at the threads is not counted.
  const switches = countSwitches();
  const start = readClocks();
  await sleep(duration);
  const { seconds, processCpu } = since(start);
  return { idleCpu: processCpu / 1e3 / seconds, wakeUps: (countSwitches() - switches) / seconds };
}

function countSockets() {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // that of the listing itself
    }
  }).length;
}

/** How often a thread of this process has gone to sleep, and so was woken. */
function countSwitches() {
  let total = 0;
  for (const thread of fs.readdirSync('/proc/self/task')) {
    const status = fs.readFileSync(`/proc/self/task/${thread}/status`, 'latin1');
    total += Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return total;
}

/** Why the connections cannot be opened here, if so. */
function obstacle({ connections }) {
  let limits;
  try {
    limits = fs.readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return 'it reads /proc, which this system does not have';
  }
  const allowed = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  const needed = connections + OTHER_FILES;
  if (allowed === 'unlimited' || Number(allowed) >= needed) return undefined;
  return `a process may have ${allowed} files open here, and it needs ${needed} (ulimit -Hn)`;
}

module.exports = { NODE_OPTIONS, idleConnections, obstacle };
