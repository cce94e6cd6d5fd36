'use strict';

// The buffers over Rust's memory, which comes back when V8 has collected them (src/block.rs). V8 only counts the memory
// that it is given, and from 64 MiB on it marks the whole heap, in which these buffers are next to nothing. Before it
// allocates the memory of a buffer itself it looks how much of that is young, and from 32 MiB on it collects the young
// generation alone, which costs what is alive there. So now and then it allocates one.
//
// So it is in Node 20. In Node 22 it spares a part of the marking, and not each time. V8 as of Node 24 marks before it
// comes to that; there this changes nothing.

/** Bytes of which one is the occasion to look. */
const EVERY = 1024 * 1024;

const LEAST = new ArrayBuffer(1);

let bytes = 0;

/** A buffer of this length has been made. */
function note(length) {
  bytes += length;
  if (bytes < EVERY) return;
  bytes = 0;
  LEAST.slice();
}

module.exports = { note };
