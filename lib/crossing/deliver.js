'use strict';

// What comes in. What Rust has of the network, for all lanes, is handed over in one call back: event by event, as if
// each had come alone.

const { performance } = require('perf_hooks');

const { copyOf, detachable, wholeOf } = require('./chunks');
const { immediately } = require('../node/immediate');
const loans = require('./loans');
const { ROW_WIDTH, event, eventFlag, isBinary } = require('./records');
const runTicks = require('../node/run-ticks');
const slots = require('./slots');
const { beginBatch, endBatch, endTick } = require('./submit');
const youngBuffers = require('./young-buffers');

const ROWS_IN = 2048;
const BYTES_IN = 256 * 1024;

const rowsIn = new Int32Array(ROWS_IN * ROW_WIDTH);
const bytesIn = Buffer.allocUnsafeSlow(BYTES_IN);

let crossing;

// Where `deliver` is in the batch. Out here, since a handler that throws ends the call: Rust then
// reports the exception and calls again with -1 for the rest.
let nextRow = 0;
let lastRow = 0;
let nextByte = 0;
let buffers;
let nextBuffer = 0;

/**
 * After so many ms of handlers the event loop gets a turn: its timers and other sockets are not to wait for all
 * that came in one batch. The rest is handed over in the loop's next turn, for as long as what else there was took:
 * where each turn takes long, so little in each would keep the answers waiting for many.
 */
const TURN = 0.5;
let turnEnds = 0;
/** Since when the loop has had its turn; undefined: nothing waits for its end. */
let pausedAt;
/** All of it is wanted now. */
let isDraining = false;

/**
 * Whose reports are being handled: several where a handler lets the event loop turn, and is served from within. What comes
 * for one of these waits until its handler has ended: it would get bytes before those that it is handling.
 */
const inHand = [];
const late = [];

/** The native side is there. */
function begin(native) {
  crossing = native;
}

/**
 * Rust calls it. `count` rows stand in `rowsIn`, and what they bring in `bytesIn`, or in the buffers of `list`; -1: the rest
 * of those before. `begins`: it is the first call in a turn of the loop. Returns whether something is left for a later one.
 */
function deliver(count, list, begins) {
  beginBatch();
  if (begins) turnEnds = endOfTurn();
  if (count >= 0) {
    nextRow = 0;
    lastRow = count;
    nextByte = 0;
    buffers = list;
    nextBuffer = 0;
  } else {
    drainTicks();
  }
  for (;;) {
    if (late.length === 0 || !takeLate()) {
      if (nextRow === lastRow) break;
      if (!takeRow()) continue;
    }
    drainTicks();
    if (nextRow < lastRow && performance.now() >= turnEnds) return pause();
  }
  buffers = undefined;
  pausedAt = undefined;
  endBatch();
  return false;
}

/** Nothing blocks the loop while a pause lasts, so all of that time went to others. */
function endOfTurn() {
  if (isDraining) return Infinity;
  const now = performance.now();
  const turn = pausedAt === undefined ? TURN : Math.max(TURN, now - pausedAt);
  return now + turn;
}

/** Nobody can say what has become of what is under way: nobody is to wait for it. */
function breakOff(what) {
  for (const occupant of slots.everybody()) occupant._broken(what);
  drainTicks();
}

/** Hands over the next row. Returns whether somebody has got it. */
function takeRow() {
  const row = nextRow++ * ROW_WIDTH;
  const head = rowsIn[row];
  const slot = rowsIn[row + 1];
  const argument = rowsIn[row + 3];
  const length = rowsIn[row + 4];
  const code = head & 0xff;
  const flags = head >> 8;
  const binary = isBinary(code);
  const isPlain = code === event.RESPONSE || code === event.BODY;
  const own = (flags & (binary || isPlain ? eventFlag.OWN_BUFFER : eventFlag.OWN_TEXT)) !== 0;
  const from = nextByte;
  const buffer = own ? detachable(buffers[nextBuffer++]) : undefined;
  if (own) youngBuffers.note(buffer.length);
  nextByte += length;

  const lane = slots.occupantOf(slot, rowsIn[row + 2]);
  if (lane === undefined) {
    if (code === event.RETURNED) loans.takeBack(argument);
    else if (code === event.BROKEN) breakOff(bytesIn.toString('utf8', from, nextByte));
    return false;
  }
  if (isPlain) {
    // What is not in the buffer, the head, stands before the parts.
    const at = from + argument - (own ? buffer.length : 0);
    if (own) takePlain(lane, row, buffer, from - at, at, true);
    else takePlain(lane, row, bytesIn, from, at, false);
  } else {
    let value;
    if (binary) value = own ? buffer : copyOf(bytesIn, from, nextByte);
    else if (own) value = buffer.toString();
    else value = length > 0 ? bytesIn.toString('utf8', from, nextByte) : '';
    take(lane, slot, rowsIn[row + 2], code, flags, argument, value);
  }
  return true;
}

/** Bytes that Rust has read, whose parts stand from `at` on. */
function takePlain(lane, row, bytes, from, at, own) {
  const size = rowsIn[row + 3];
  if (isInHand(lane)) {
    // What is known of the bytes is of use only at once. Node's parser reads them.
    const chunk = wholeOf(bytes, from, size, bytesIn, at, nextByte - at, own);
    take(lane, rowsIn[row + 1], rowsIn[row + 2], event.DATA, 0, 0, chunk);
    return;
  }
  inHand.push(lane);
  try {
    if ((rowsIn[row] & 0xff) === event.RESPONSE)
      lane._receivedResponse(bytes, from, size, bytesIn, at, nextByte - at, own);
    else lane._receivedBody(bytes, from, size, bytesIn, at, nextByte - at, own);
  } finally {
    inHand.pop();
  }
}

function take(lane, slot, epoch, code, flags, argument, value) {
  if (isInHand(lane)) {
    late.push({ lane, slot, epoch, code, flags, argument, value });
    return;
  }
  inHand.push(lane);
  try {
    if (code === event.DATA) lane._received(value);
    else lane._reported(code, flags, argument, value);
  } finally {
    inHand.pop();
  }
}

function isInHand(lane) {
  return inHand.length > 0 && inHand.includes(lane);
}

/** Hands over the first that has waited for the end of a handler, if it may come now. */
function takeLate() {
  const index = late.findIndex(({ lane }) => !inHand.includes(lane));
  if (index === -1) return false;
  const [{ lane, slot, epoch, code, flags, argument, value }] = late.splice(index, 1);
  if (slots.occupantOf(slot, epoch) === lane) take(lane, slot, epoch, code, flags, argument, value);
  return true;
}

/** What is left is handed over behind the loop's timers: they run between two phases of immediates. */
function pause() {
  endBatch();
  pausedAt = performance.now();
  immediately(immediately, resume);
  return true;
}

function resume() {
  crossing.resume();
}

/** Node drains both queues between the events of two sockets, so every row gets its own drain. */
function drainTicks() {
  runTicks();
  endTick();
}

/** Has all that waits handed over now, unless it is called from within a batch. */
function handOver() {
  isDraining = true;
  try {
    crossing.drain();
  } finally {
    isDraining = false;
  }
}

module.exports = { rowsIn, bytesIn, begin, deliver, handOver };
