'use strict';

// Whether Rust may have something to report: as long as somebody has a slot, or has lent a buffer. Rust keeps this copy of
// the package from being collected then, and only then: a program may load it many times, as test runners do, and let go
// of each.

/** How many may be told of something. */
let count = 0;

let crossing;

/** The native side is there. */
function begin(native) {
  crossing = native;
}

/** Adds to the number of those. */
function expect(more) {
  const before = count > 0;
  count += more;
  if (count > 0 !== before) crossing.setExpecting(!before);
}

module.exports = { begin, expect };
