'use strict';

// What Node runs between the callbacks of two sockets: what waits for nextTick(), then microtasks.

const { runInThisContext } = require('vm');

const process = require('./process');

const given = process._tickCallback;
const inner = Object.getPrototypeOf(given);

// With --pending-deprecation the function that programs are given warns of itself (DEP0134), though Node's own code goes
// on calling the one behind it. What Node deprecates has the function itself as its prototype, so that
// the members of a class can be found; a function that is not deprecated has that of all functions of Node's context.
module.exports = inner === runInThisContext('Function.prototype') ? given : inner;
