'use strict';

// Request bodies. All bytes are written once: memory that was never touched is one page of zeros to the kernel, which
// copies it faster than any real body.

const made = new Map();

function bodyOf(bytes) {
  let body = made.get(bytes);
  if (body === undefined) {
    body = Buffer.alloc(bytes, 'x');
    made.set(bytes, body);
  }
  return body;
}

/** @param {{ bytes: number, chunk: number }} body */
function* chunksOf({ bytes, chunk }) {
  for (let left = bytes; left > 0; left -= chunk) yield bodyOf(Math.min(chunk, left));
}

module.exports = { bodyOf, chunksOf };
