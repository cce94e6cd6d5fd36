'use strict';

// Node's own functions of the module 'tls'. Programs put their own into the place of these, to pin certificates, to
// restrict what is spoken or to watch; often in a preload, before this package is loaded. So what stands there then
// proves nothing. What cannot be proved to be Node's is a program's.

const tls = require('tls');

/**
 * How each is told: by a name that only Node's source has, so that no function of a program's is called here; and
 * by a call that ends where it first looks at what it was given.
 */
const SIGNS = {
  checkServerIdentity: {
    text: 'new ERR_TLS_CERT_ALTNAME_INVALID(',
    call: (check, probe) => check('', probe),
  },
  connect: {
    text: 'new TLSSocket(',
    // In this form it looks at the options before it does anything else.
    call: (connect, probe) => connect(0, probe),
  },
  createSecureContext: {
    text: 'configSecureContext(',
    call: (create, probe) => create(probe),
  },
};

/** Node's functions, once they have been seen, and others that were. */
const own = {};
const others = new WeakSet();

/** Whether `found` is Node's own `tls[name]`. */
function isNodes(name, found) {
  if (own[name] !== undefined) return found === own[name];
  if (typeof found !== 'function' || others.has(found)) return false;
  if (isProved(SIGNS[name], found)) {
    own[name] = found;
    return true;
  }
  others.add(found);
  return false;
}

function isProved({ text, call }, found) {
  if (!Function.prototype.toString.call(found).includes(text)) return false;
  const { prepareStackTrace, stackTraceLimit } = Error;
  // A program that has frozen them does not let anybody see the stack: nothing can be proved then.
  const isShown =
    Reflect.set(Error, 'prepareStackTrace', (error, sites) => sites) &&
    Reflect.set(Error, 'stackTraceLimit', Infinity);
  try {
    return isShown && runsByItself(call, found);
  } finally {
    Reflect.set(Error, 'prepareStackTrace', prepareStackTrace);
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}

/** Whether there is nothing but Node between a call and the first look at what it is given. */
function runsByItself(call, found) {
  const below = sitesUnder(runsByItself).length;
  let sites = [];
  const look = () => {
    sites = sitesUnder(look);
    throw new Error('seen');
  };
  try {
    call(found, new Proxy({}, { get: look, ownKeys: look }));
  } catch {
    // It was to end so.
  }
  // Under what it is about are `call` and this function.
  const between = sites.slice(0, -below - 2);
  return between.length > 0 && between.every(isOfNode);
}

/** The calls that led to `top`, the latest first. */
function sitesUnder(top) {
  const holder = {};
  Error.captureStackTrace(holder, top);
  return holder.stack;
}

/** Functions of the language, such as Object.assign(), have no place in a file. */
function isOfNode(site) {
  const file = site.getFileName();
  return file == null ? site.getLineNumber() === null && !site.isEval() : file.startsWith('node:');
}

for (const name of Object.keys(SIGNS)) isNodes(name, tls[name]);

module.exports = { isNodes };
