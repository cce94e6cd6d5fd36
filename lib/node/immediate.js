'use strict';

// setImmediate() for our own use. Node runs immediates in a way that it warns of itself (DEP0097, once per process)
// while a domain is entered, so that programs with domains would see a warning of what they have not done.

const { setImmediate, setTimeout } = require('./clock');
const process = require('./process');

/** Calls back in this turn of the loop, behind what has come; with domains in the next one. */
function immediately(callback, ...args) {
  if (process.domain) setTimeout(callback, 0, ...args);
  else setImmediate(callback, ...args);
}

module.exports = { immediately };
