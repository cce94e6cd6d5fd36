'use strict';

// What Rust reports of a connect, as Node's events and errors have it. Fields are separated by tabs, rows
// by newlines (src/pool/connecting.rs).

const errors = require('../errors');
const { eventFlag } = require('../crossing/records');

/** The arguments that Node gives to the events of a connection attempt. */
function endpoint(text) {
  const [address, port, family] = text.split('\t');
  return family === '0' ? [address, undefined, undefined] : [address, Number(port), Number(family)];
}

/** The same for an attempt that failed, with its error. */
function failedAttempt(text) {
  return [...endpoint(text), failure(text.split('\t').slice(3))];
}

/** Resolved addresses, as a lookup gives them. */
function lookupResults(text) {
  return text.split('\n').map((row) => {
    const [family, address] = row.split('\t');
    return { address, family: Number(family) };
  });
}

/** The error of a connect whose attempts have all failed. */
function connectFailure(flags, text) {
  const failures = text.split('\n').map((row) => failure(row.split('\t')));
  return flags & eventFlag.AGGREGATE ? errors.aggregateException(failures) : failures[0];
}

function failure([errno, syscall, address, port, local, isGiven]) {
  return errors.connectException(Number(errno), syscall, address, Number(port), local, isGiven === 'true');
}

module.exports = { endpoint, failedAttempt, lookupResults, connectFailure };
