'use strict';

// Large buffers that Rust writes from without a copy (src/binding/loans.rs). They are kept here until it has
// returned them, whatever becomes of the lane and the request meanwhile.

const { expect } = require('./expecting');

/**
 * Bytes from which on a buffer is lent. A copy of fewer costs less than to wait until they have left, which
 * whoever has lent a buffer has to: the next write of the request would come later for it.
 */
const MIN = 512 * 1024;
/** Lengths in the rows of the crossing have 31 bits. */
const MAX = 1 << 30;

/** Winsock has no call that refuses what is not mapped. */
const isPossible = process.platform !== 'win32';

const lent = [];
const free = [];

/**
 * Whether a write may be lent. One of a buffer that can shrink is copied: then a part of its memory may be gone before
 * it is sent.
 */
function isFit(chunk) {
  return isPossible && chunk.length >= MIN && !chunk.buffer.resizable && !chunk.buffer.growable;
}

/** Keeps a buffer. The number is its name; without the chunk, it is that of another. */
function lend(chunk) {
  expect(1);
  const number = free.length > 0 ? free.pop() : lent.length;
  const loan = { number, chunk };
  lent[number] = loan;
  return loan;
}

function takeBack(number) {
  lent[number].chunk = undefined;
  lent[number] = undefined;
  free.push(number);
  expect(-1);
}

module.exports = { MAX, isFit, lend, takeBack };
