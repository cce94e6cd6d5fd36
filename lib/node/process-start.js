'use strict';

// What the process was started with. Node reads its settings for OpenSSL then, once for all threads; a program may have
// changed `process.env` since, and a Worker may have been given an environment and arguments of its own.

const fs = require('fs');
const { isMainThread } = require('worker_threads');

const process = require('./process');

const { env, execArgv } = process;
/** As they were when the package was loaded. */
const loaded = { execArgv: [...execArgv], NODE_OPTIONS: env.NODE_OPTIONS, OPENSSL_CONF: env.OPENSSL_CONF };

/** The variables of the start, by name; undefined where the system does not tell them. */
const environment = readEnvironment();

function readEnvironment() {
  if (process.platform !== 'linux') return undefined;
  try {
    const entries = fs.readFileSync('/proc/self/environ', 'utf8').split('\0');
    // Of two with one name, the first counts.
    return Object.fromEntries(entries.reverse().map((entry) => entry.split(/=([^]*)/, 2)));
  } catch {
    return undefined; // The permission model lets nobody read it.
  }
}

/** `{ arguments, environments }`, with rather more in them than was Node's, so that nothing of it is missed. */
function settings() {
  const report = isMainThread ? undefined : readReport();
  return {
    arguments: [...loaded.execArgv, ...(report?.header.commandLine ?? [])],
    environments: [loaded, environment, report?.environmentVariables].filter(Boolean),
  };
}

/** The command line is nowhere else in a Worker. It takes milliseconds, if it does not look up the names of peers. */
function readReport() {
  const { report } = process;
  const { excludeNetwork } = report;
  try {
    if (excludeNetwork !== undefined) report.excludeNetwork = true;
    return report.getReport();
  } catch {
    return undefined; // No request fails for it: what the Worker was given has to do.
  } finally {
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
  }
}

module.exports = { environment, settings };
