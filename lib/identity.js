'use strict';

// Numbers for what a program has given that decides about connections: its functions, lists and contexts. Connections with
// different ones are never exchanged.

const identities = new WeakMap();
let last = 0;

/** One that nothing else has; never 0. */
function newIdentity() {
  return (last = (last + 1) >>> 0 || 1);
}

/** The same each time for the same function or object. */
function identityOf(value) {
  let id = identities.get(value);
  if (id === undefined) identities.set(value, (id = newIdentity()));
  return id;
}

module.exports = { identityOf, newIdentity };
