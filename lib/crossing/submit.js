'use strict';

// What goes out. All that lanes ask for in a tick is gathered here, and goes to Rust in one native call: with the end
// of the tick, or before that if it may not wait.

const loans = require('./loans');
const { nextTick } = require('../node/clock');
const { ROW_WIDTH, op, opFlag } = require('./records');

const ROWS_OUT = 2048;
const BYTES_OUT = 256 * 1024;

/**
 * Strings and buffers up to this length go through the shared buffer. Longer strings are made buffers of; longer buffers
 * are copied by Rust, or lent to it. Nothing longer is sent early: what has gone with it cannot be taken back.
 */
const INLINE_MAX = 16 * 1024;
/** In the place of the number of a loan. */
const COPIED = -1;
/** A UTF-16 code unit has at most three bytes in UTF-8; the other encodings need less. */
const MAX_BYTES_PER_UNIT = 3;

const rowsOut = new Int32Array(ROWS_OUT * ROW_WIDTH);
const bytesOut = Buffer.allocUnsafeSlow(BYTES_OUT);

let crossing;
let submit;

let rows = 0;
let bytes = 0;
let blobs;
/** Among the rows is what leaves with the end of the tick, or is taken back before. */
let hasEarly = false;
let flushScheduled = false;
/** Rust has been told that more may come in this tick without a wake. */
let tickOpen = false;
/** What is written now may be taken back until the tick ends. */
let isEarly = false;
/** Such rows have been sent, and their tick has not ended; or it has, and Rust is to be told so. */
let revocable = false;
let settled = false;
/** The flush that is queued runs before the request has got its lane, so it is not the end of that tick. */
let tooSoon = false;

/** What has come is being handed over (deliver.js), which sees the end of each tick. */
let delivering = false;

/** The native side is there. */
function begin(native) {
  crossing = native;
  submit = native.submitFunction();
}

/** Sends what has been gathered. Nothing of this tick can be taken back from here on. */
function send() {
  if (rows === 0 && !revocable) return;
  revocable = false;
  settled = false;
  const [rowCount, byteCount, list] = [rows, bytes, blobs];
  rows = 0;
  bytes = 0;
  blobs = undefined;
  hasEarly = false;
  if (list === undefined) submit(rowCount, byteCount);
  else submit(rowCount, byteCount, list);
}

/** The same for what may be taken back until the tick ends. */
function sendRevocable() {
  const [rowCount, byteCount, isSettled] = [rows, bytes, settled];
  rows = 0;
  bytes = 0;
  hasEarly = false;
  revocable = true;
  settled = false;
  submit(rowCount, byteCount, undefined, isSettled);
}

/** Sends what is left at the end of the tick. */
function flush() {
  flushScheduled = false;
  if (tooSoon) {
    tooSoon = false;
    if (rows > 0) sendRevocable();
    schedule();
    return;
  }
  send();
  if (tickOpen) {
    tickOpen = false;
    crossing.closeTick();
  }
}

/**
 * Sends what `write` writes, given the arguments, in the middle of a tick, which may last. Rust uses it when the
 * tick ends, or after some milliseconds: until then a CLOSE takes it back. It is not woken for each of many requests,
 * but looks by itself until the tick has ended.
 */
function sendEarly(write, ...args) {
  isEarly = true;
  try {
    write(...args);
  } finally {
    isEarly = false;
  }
  if (rows === 0) return;
  if (!tickOpen && !delivering) {
    tickOpen = true;
    crossing.openTick();
    // In case that nothing else follows.
    nextTick(schedule);
  }
  tooSoon = flushScheduled;
  sendRevocable();
}

/** The tick does not end with the flush that is queued. */
function prolongTick() {
  tooSoon = flushScheduled;
}

/** What was sent early stays, and what has been gathered goes, when this tick has ended. */
function endWithTick() {
  if (!delivering) schedule();
}

function schedule() {
  if (!flushScheduled && !isEarly) {
    flushScheduled = true;
    // In the same pass of the tick queue: what a later callback computes does not delay it.
    nextTick(flush);
  }
}

function row(head, slot, epoch, argument, length) {
  append(head, slot, epoch, argument, length);
  schedule();
}

/** A row that may wait for the others of this tick. */
function patientRow(head, slot, epoch, argument, length) {
  append(head, slot, epoch, argument, length);
  endWithTick();
}

function append(head, slot, epoch, argument, length) {
  if (rows === ROWS_OUT) send();
  const at = rows++ * ROW_WIDTH;
  rowsOut[at] = head;
  rowsOut[at + 1] = slot;
  rowsOut[at + 2] = epoch;
  rowsOut[at + 3] = argument;
  rowsOut[at + 4] = length;
}

/** Bytes and their row go together: neither may be left behind by a submission between them. */
function makeRoom(count) {
  if (rows === ROWS_OUT || bytes + count > BYTES_OUT) send();
}

/** What stands in the rows came first. */
function sendBefore() {
  if (revocable && rows > 0) sendRevocable();
  else if (!revocable) send();
}

/** The same for a question that is to change nothing: what may be taken back until the tick ends still may. */
function sendSettled() {
  if (!hasEarly) sendBefore();
}

/** Whether what has been sent in this tick may still be taken back. */
function isRevocable() {
  return revocable;
}

/** A row for bytes that stand at the end of the shared buffer. Those of a head and its body go as one. */
function inlineRow(slot, epoch, flags, notify, count) {
  if (isEarly) flags |= opFlag.EARLY;
  if (flags & opFlag.EARLY) hasEarly = true;
  const last = (rows - 1) * ROW_WIDTH;
  bytes += count;
  if (
    rows > 0 &&
    rowsOut[last + 1] === slot &&
    rowsOut[last + 2] === epoch &&
    (rowsOut[last] & 0xff) === op.WRITE &&
    ((rowsOut[last] >> 8) & opFlag.BLOB) === 0
  ) {
    rowsOut[last + 3] += notify;
    rowsOut[last + 4] += count;
  } else {
    row(op.WRITE | (flags << 8), slot, epoch, notify, count);
  }
}

/**
 * Queues a piece of a lane's bytes; `notify` bytes are reported back as written when it has left
 * (0: no report). Returns the number of bytes.
 */
function write(slot, epoch, flags, chunk, encoding, notify) {
  if (typeof chunk === 'string') {
    if (chunk.length > INLINE_MAX) return write(slot, epoch, flags, Buffer.from(chunk, encoding), '', notify);
    makeRoom(chunk.length * MAX_BYTES_PER_UNIT);
    const count =
      encoding === 'latin1' ? bytesOut.latin1Write(chunk, bytes) : bytesOut.write(chunk, bytes, encoding);
    inlineRow(slot, epoch, flags, notify, count);
    return count;
  }
  const count = chunk.length;
  if (count > INLINE_MAX) {
    blobRow(slot, epoch, flags, notify, chunk, COPIED);
    return count;
  }
  makeRoom(count);
  bytesOut.set(chunk, bytes);
  inlineRow(slot, epoch, flags, notify, count);
  return count;
}

/** As write(), without a copy: the buffer must stay as it is until all of it is reported as written. Returns the loan. */
function lend(slot, epoch, flags, chunk, notify) {
  const loan = loans.lend(chunk);
  blobRow(slot, epoch, flags, notify, chunk, loan.number);
  return loan;
}

/**
 * Sent at once: what is copied may be changed as soon as the write is reported as done, which may be now. Nothing that this
 * tick has sent can be taken back from here on.
 */
function blobRow(slot, epoch, flags, notify, chunk, loan) {
  row(op.WRITE | ((flags | opFlag.BLOB) << 8), slot, epoch, notify, chunk.length);
  (blobs ??= []).push(chunk, loan);
  send();
}

/**
 * Hands over a request that waits: all that it has written, `flagsOf` the number of its bytes. Returns that
 * number. It is for the caller to end the tick.
 */
function wait(slot, epoch, queue, pieces, flagsOf) {
  let most = 0;
  for (const { data } of pieces) most += data.length * MAX_BYTES_PER_UNIT;
  makeRoom(most);
  const from = bytes;
  for (const { data, encoding } of pieces) {
    if (typeof data === 'string') bytes += bytesOut.write(data, bytes, encoding || 'utf8');
    else {
      bytesOut.set(data, bytes);
      bytes += data.length;
    }
  }
  const count = bytes - from;
  append(op.WAIT | (flagsOf(count) << 8), slot, epoch, queue, count);
  return count;
}

// ---- The ticks behind the events of a batch (deliver.js).

function beginBatch() {
  delivering = true;
}

/** One of them is over. */
function endTick() {
  if (rows > 0) send();
  // The next submission tells it.
  else settled = revocable;
}

/** The last is, or the rest of the batch has to wait. */
function endBatch() {
  delivering = false;
  send();
}

module.exports = {
  INLINE_MAX,
  rowsOut,
  bytesOut,
  begin,
  append,
  row,
  patientRow,
  write,
  lend,
  wait,
  sendBefore,
  sendSettled,
  send,
  sendEarly,
  isRevocable,
  prolongTick,
  endWithTick,
  beginBatch,
  endTick,
  endBatch,
};
