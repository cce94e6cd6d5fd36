'use strict';

const fs = require('node:fs');
const os = require('node:os');

// What else ran on the machine meanwhile: a reader of figures wants to know how quiet it was.

/** CPU time in ticks of the kernel: of all CPUs, whether used or not; used by anybody; used by this run. */
function readCpu() {
  let stat;
  try {
    stat = fs.readFileSync('/proc/stat', 'latin1');
  } catch {
    return null; // not Linux
  }
  // user nice system idle iowait irq softirq steal; what guests used is in user already.
  const fields = stat.split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number);
  const total = fields.reduce((sum, value) => sum + value, 0);
  return { total, used: total - fields[3] - fields[4], own: ownCpu() };
}

/** Of the processes of this group, and of those of its children that have ended. */
function ownCpu() {
  const group = statOf(process.pid)?.group;
  let own = 0;
  for (const name of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat?.group !== group) continue;
    own += stat.self;
    // A shell above us counts what it ran before as well, but that stands still.
    own += stat.children;
  }
  return own;
}

function statOf(pid) {
  let text;
  try {
    text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // it has just ended
  }
  // The second field is the process's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    group: Number(fields[2]),
    self: Number(fields[11]) + Number(fields[12]),
    children: Number(fields[13]) + Number(fields[14]),
  };
}

/**
 * The share of the CPUs that others had between two readings, the host of a virtual machine among them. The server's
 * interrupts count as theirs, so it is a little above 0 also on a quiet machine.
 */
function shareOfOthers(before, after) {
  if (before === null || after === null) return null;
  const total = after.total - before.total;
  if (total <= 0) return null;
  const others = after.used - before.used - (after.own - before.own);
  return Math.min(1, Math.max(0, others / total));
}

/** What a reader has to know of the machine. */
function describeMachine() {
  const release = /^\d+\.\d+/.exec(os.release())?.[0] ?? os.release();
  const cpus = os.cpus();
  return {
    node: process.version,
    system: `${os.type()} ${release} ${os.arch()}, ${os.availableParallelism()} CPUs (${cpus[0]?.model.trim()}), load ${os.loadavg()[0].toFixed(2)} at start`,
  };
}

module.exports = { describeMachine, readCpu, shareOfOthers };
