'use strict';

// Errors with the classes, codes and messages of Node's own, since programs match on them.

const { getSystemErrorMap, getSystemErrorName, inspect } = require('util');

/** libuv's numbers for "no such name"; Node calls both ENOTFOUND. */
const EAI_NODATA = -3007;
const EAI_NONAME = -3008;

/** A failed system call on a socket: `read ECONNRESET`. */
function errnoException(errno, syscall) {
  const code = getSystemErrorName(errno);
  const error = new Error(`${syscall} ${code}`);
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  return error;
}

/** A write whose socket is destroyed before the system has all of it: `write ECANCELED`. Older Nodes say nothing of it. */
function writeCanceled() {
  const [errno] = [...getSystemErrorMap()].find(([, [code]]) => code === 'ECANCELED');
  return errnoException(errno, 'write');
}

/**
 * A failed connect or bind: `connect ECONNREFUSED 127.0.0.1:80`. `local`: what Node prints of this side; a part of the
 * error only if options gave it.
 */
function connectException(errno, syscall, address, port, local, isGiven) {
  const code = getSystemErrorName(errno);
  let details = address;
  if (port > 0) details += `:${port}`;
  if (local) details += ` - Local (${local})`;
  const error = new Error(`${syscall} ${code} ${details}`);
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  error.address = address;
  if (port) error.port = port;
  if (isGiven) {
    const [, localAddress, localPort] = /^(.*):(\d+)$/.exec(local);
    error.localAddress = localAddress;
    error.localPort = Number(localPort);
  }
  return error;
}

/** Every address failed. */
function aggregateException(errors) {
  const error = new AggregateError(errors);
  error.code = errors[0]?.code;
  return error;
}

/** A name that did not resolve: `getaddrinfo ENOTFOUND example.invalid`. */
function lookupException(errno, hostname) {
  const code = errno === EAI_NODATA || errno === EAI_NONAME ? 'ENOTFOUND' : getSystemErrorName(errno);
  const error = new Error(`getaddrinfo ${code} ${hostname}`);
  error.errno = errno;
  error.code = code;
  error.syscall = 'getaddrinfo';
  error.hostname = hostname;
  return error;
}

/** What a bug of ours has cost. */
function internalError(what) {
  const message = `offloop has ended this request because of a bug of its own, which please report: ${what}`;
  return coded(Error, 'ERR_OFFLOOP_INTERNAL', message);
}

/** One of Node's coded errors. */
function coded(Base, code, message) {
  const error = new Base(message);
  error.code = code;
  // As Node prints them: the code stands in the first line of the stack.
  const { name } = error;
  Object.defineProperty(error, 'name', { value: `${name} [${code}]`, configurable: true, writable: true });
  void error.stack;
  delete error.name;
  return error;
}

function invalidArgType(name, expected, actual) {
  const received =
    actual == null
      ? `${actual}`
      : typeof actual === 'function'
        ? `function ${actual.name}`
        : typeof actual === 'object'
          ? actual.constructor?.name
            ? `an instance of ${actual.constructor.name}`
            : inspect(actual, { depth: -1 })
          : `type ${typeof actual} (${inspect(actual).slice(0, 28)})`;
  const kind = name.includes('.') ? 'property' : 'argument';
  return coded(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    `The "${name}" ${kind} must be ${expected}. Received ${received}`,
  );
}

function invalidArgValue(name, actual, reason) {
  const kind = name.includes('.') ? 'property' : 'argument';
  return coded(
    TypeError,
    'ERR_INVALID_ARG_VALUE',
    `The ${kind} '${name}' ${reason}. Received ${inspect(actual)}`,
  );
}

/** From here on Node separates the digits of integers in groups of three. */
const LARGE = 2 ** 32;

function outOfRange(name, range, actual) {
  const isLarge = Number.isInteger(actual) && Math.abs(actual) > LARGE;
  const received = isLarge ? `${actual}`.replace(/\B(?=(\d{3})+$)/g, '_') : inspect(actual);
  return coded(
    RangeError,
    'ERR_OUT_OF_RANGE',
    `The value of "${name}" is out of range. It must be ${range}. Received ${received}`,
  );
}

function checkInteger(value, name, min, max) {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) {
    throw outOfRange(name, max === Infinity ? `>= ${min}` : `>= ${min} && <= ${max}`, value);
  }
}

module.exports = {
  checkInteger,
  errnoException,
  writeCanceled,
  connectException,
  aggregateException,
  lookupException,
  internalError,
  coded,
  invalidArgType,
  invalidArgValue,
  outOfRange,
};
