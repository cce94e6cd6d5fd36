'use strict';

// The memory of what programs get of a body. As with Node's own agent each chunk has an ArrayBuffer of its own, from the
// first byte to the last: who transfers a chunk, as a byte stream does by itself, takes nothing else along.

const { isMainThread } = require('node:worker_threads');

/**
 * Up to this length V8 has the bytes on its heap, and an ArrayBuffer for them when somebody asks for it. A loop does not;
 * copy() does, as of Node 24.
 */
const ON_HEAP = 64;

/** Moves memory to another ArrayBuffer. As of Node 22. */
const { transfer } = ArrayBuffer.prototype;

/**
 * Rust's memory is lent to chunks (src/binding/deliver.rs). It comes back with the end of the environment, whoever has it
 * then, and what a worker thread has given away may be in use: there it is copied.
 */
const mayLend = isMainThread;

/** The bytes from `from` to `to`, in memory of their own. */
function copyOf(bytes, from, to) {
  const length = to - from;
  const chunk = Buffer.allocUnsafeSlow(length);
  if (length > ON_HEAP) bytes.copy(chunk, 0, from, to);
  else for (let i = 0; i < length; i++) chunk[i] = bytes[from + i];
  return chunk;
}

/** All that a row of the crossing brings, in one chunk: the arguments are those of plainResponse.parse(). */
function wholeOf(bytes, from, length, parts, at, size, own) {
  if (!own) return copyOf(bytes, from, from + length);
  return from === 0 ? bytes : Buffer.concat([parts.subarray(at + from, at), bytes], length);
}

/** A buffer over Rust's memory, as one that can be transferred: N-API makes them such that Node refuses to. */
function detachable(buffer) {
  return transfer === undefined || !mayLend ? buffer : Buffer.from(transfer.call(buffer.buffer));
}

module.exports = { copyOf, detachable, wholeOf };
