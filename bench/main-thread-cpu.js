'use strict';

const fs = require('node:fs');

// Node before 23.9 has no call for the CPU time of one thread, so on Linux the kernel's own books are read. The
// main thread's id is the process's. Finest first; the first source that works is used for the whole run.
const USER_HZ = 100; // the unit of /proc/<pid>/stat, fixed by the kernel's ABI whatever its timer runs at

const SOURCES = [
  {
    name: 'process.threadCpuUsage()',
    read() {
      const { user, system } = process.threadCpuUsage();
      return user + system;
    },
  },
  {
    name: '/proc/self/task/<pid>/schedstat',
    read() {
      const nanoseconds = fs
        .readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1')
        .split(' ', 1)[0];
      return Number(nanoseconds) / 1e3;
    },
  },
  {
    name: '/proc/self/task/<pid>/stat, in steps of 10 ms',
    read() {
      const text = fs.readFileSync(`/proc/self/task/${process.pid}/stat`, 'latin1');
      // The second field is the thread's name in parentheses and may itself hold spaces and parentheses.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return ((Number(fields[11]) + Number(fields[12])) / USER_HZ) * 1e6; // utime, stime
    },
  },
];

// Where no source knows threads, "main" would be a wrong word for what is measured: the name says so.
const FALLBACK = {
  name: 'process.cpuUsage(): the WHOLE process, this system does not tell its threads apart',
  read() {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
};

/** A kernel built without the figure shows zero, and a process that has loaded this file has used more than that. */
function works(source) {
  try {
    return source.read() > 0;
  } catch {
    return false;
  }
}

const source = SOURCES.find(works) ?? FALLBACK;

module.exports = {
  source: source.name,
  /** CPU time of the main thread so far, in µs. */
  read: source.read,
};
