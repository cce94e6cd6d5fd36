'use strict';

// The numbers by which Rust knows routes: to open a lane costs a row then, and not the reading of twenty options.

const crossing = require('../crossing/crossing');

/** Routes that Rust knows. One that it has forgotten is told again when a lane takes it. */
const MAX_ROUTES = 1000;
const MAX_NUMBER = 0x7fffffff;

/** By number, the oldest first. They are not held: a lookup function of the program's hangs on a route. */
const routes = new Map();
let last = 0;

function numberOf(route) {
  if (route.number === 0) introduce(route);
  return route.number;
}

function introduce(route) {
  do last = (last % MAX_NUMBER) + 1;
  while (routes.has(last));
  const forgotten = routes.size < MAX_ROUTES ? undefined : forgetOldest();
  crossing.introduce(last, route.native, route.secure?.context, forgotten);
  route.number = last;
  routes.set(last, new WeakRef(route));
}

function forgetOldest() {
  const [[number, weak]] = routes;
  routes.delete(number);
  const route = weak.deref();
  if (route !== undefined) route.number = 0;
  return number;
}

module.exports = { numberOf };
