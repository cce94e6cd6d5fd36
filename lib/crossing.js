'use strict';

// JavaScript's half of the crossing. All that lanes ask for in a tick goes to Rust in one native
// call; all that has come from the network is handed over in one call back.

const { performance } = require('perf_hooks');

const { native } = require('./binding');
const { immediately } = require('./immediate');
const loans = require('./loans');
const { startLog } = require('./log');
const process = require('./node-process');
const { ROW_WIDTH, op, opFlag, event, eventFlag, isBinary, closeReason } = require('./records');
const youngBuffers = require('./young-buffers');

/** Kept: a clock that a test puts into its place for a while drops what it holds, and nothing would be sent any more. */
const { nextTick } = process;

const ROWS_OUT = 2048;
const BYTES_OUT = 256 * 1024;
const ROWS_IN = 2048;
const BYTES_IN = 256 * 1024;

/**
 * Strings and buffers up to this length go through the shared buffer. Longer strings are made buffers of; longer buffers
 * are copied by Rust, or lent to it. Nothing longer can be sent before the end of a tick: it could not be taken back.
 */
const INLINE_MAX = 16 * 1024;
/** Bytes up to which a loop is quicker than the call, which makes a view of what it copies. */
const SMALL = 32;
/** In the place of the number of a loan. */
const COPIED = -1;
/** A UTF-16 code unit has at most three bytes in UTF-8; the other encodings need less. */
const MAX_BYTES_PER_UNIT = 3;

const rowsOut = new Int32Array(ROWS_OUT * ROW_WIDTH);
const bytesOut = Buffer.allocUnsafeSlow(BYTES_OUT);
const rowsIn = new Int32Array(ROWS_IN * ROW_WIDTH);
const bytesIn = Buffer.allocUnsafeSlow(BYTES_IN);

let rows = 0;
let bytes = 0;
let blobs;
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

/** Lanes by slot; a slot's epoch goes up with each lane and each request that it gets. */
const lanes = [];
const epochs = [];
const freeSlots = [];

/** Lanes that the process has to wait for, and whether Rust has been told so. */
let active = 0;
let holding = false;
let holdScheduled = false;

/** What async hooks know the crossing by: as a handle of Node's, it says whether the process waits for it. */
const resource = { hasRef: () => holding };

let crossing;
let submit;

function start() {
  startLog(native);
  crossing = new native.Crossing(rowsOut, bytesOut, rowsIn, bytesIn, deliver, resource);
  submit = crossing.submitFunction();
}

/** Sends what has been gathered. */
function send() {
  if (rows === 0 && !revocable) return;
  revocable = false;
  settled = false;
  const [rowCount, byteCount, list] = [rows, bytes, blobs];
  rows = 0;
  bytes = 0;
  blobs = undefined;
  if (list === undefined) submit(rowCount, byteCount);
  else submit(rowCount, byteCount, list);
}

/** The same for what may be taken back until the tick ends. */
function sendRevocable() {
  const [rowCount, byteCount, isSettled] = [rows, bytes, settled];
  rows = 0;
  bytes = 0;
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
  // In a batch `deliver` sees the end of each tick.
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

/** Gives a lane its slot. */
function enter(lane) {
  if (crossing === undefined) start();
  const slot = freeSlots.length > 0 ? freeSlots.pop() : lanes.length;
  lanes[slot] = lane;
  return slot;
}

function nextEpoch(slot) {
  return (epochs[slot] = ((epochs[slot] | 0) + 1) & 0x7fffffff);
}

/** Another one is in the slot from now on, in the same epoch. */
function enterAt(slot, lane) {
  lanes[slot] = lane;
}

/** The lane is gone: late reports of it find another epoch. */
function leave(slot) {
  nextEpoch(slot);
  lanes[slot] = undefined;
  freeSlots.push(slot);
}

/** What stands in the rows came first. */
function sendBefore() {
  if (revocable && rows > 0) sendRevocable();
  else if (!revocable) send();
}

/** Tells Rust where a number leads (see routes.js); `forgotten` leads nowhere from now on. */
function introduce(number, route, context, forgotten) {
  sendBefore();
  crossing.introduce(number, route, context, forgotten);
}

/** Opens a lane at once: it connects while the tick goes on. */
function open(slot, epoch, flags, route, resolver) {
  append(op.OPEN | (flags << 8), slot, epoch, route, resolver);
  sendBefore();
}

/** The same with addresses that JavaScript found, which serve other connects for `ttl` ms. */
function openTo(addresses, ttl, slot, epoch, flags, route, resolver) {
  sendBefore();
  crossing.openTo(slot, epoch, { flags, route, resolver, addresses, ttl });
}

function exportKeyingMaterial(slot, epoch, length, label, context) {
  sendBefore();
  return crossing.exportKeyingMaterial(slot, epoch, length, label, context);
}

function resolved(slot, serial, addresses) {
  sendBefore();
  crossing.resolved(slot, serial, addresses);
}

/**
 * What is known of a lane's connection, as text (see facts.js). Empty: nothing of this request has left, nor
 * will before the end of the tick. undefined: it is not known.
 */
function facts(slot, epoch) {
  sendBefore();
  return crossing.facts(slot, epoch) ?? undefined;
}

/** Takes a request that waits back: '' then. It has been sent if there are facts; undefined if nobody can say. */
function withdraw(slot, epoch) {
  sendBefore();
  const facts = crossing.withdraw(slot, epoch) ?? undefined;
  if (facts === '') {
    // The question goes before what may still be taken back, and the request may be among that.
    append(op.CLOSE, slot, epoch, closeReason.ABORTED, 0);
    sendBefore();
  }
  return facts;
}

/**
 * Takes back a request that has begun early on a lane, with `count` bytes: the slot is in the epoch before it then.
 * false if a byte of it has left, or may have.
 */
function takeBack(slot, epoch, count) {
  if (!revocable) return false;
  if (rows > 0) sendRevocable();
  if (!crossing.takeBack(slot, epoch, count)) return false;
  epochs[slot] = (epochs[slot] - 1) & 0x7fffffff;
  return true;
}

/** The status of an agent, as text (see status.js). */
function stats(agent) {
  sendBefore();
  return crossing?.stats(agent) ?? '';
}

/** Hands over all that waits to be handed over, unless it is called from within a batch. */
function drain() {
  sendBefore();
  if (crossing !== undefined) handOver();
}

function handOver() {
  isDraining = true;
  try {
    crossing.drain();
  } finally {
    isDraining = false;
  }
}

/**
 * For how many ms nothing has gone either way on a lane's connection, if it has one. What came before is
 * handed over by the time this returns, unless it is called from within a batch.
 */
function quiet(slot, epoch) {
  sendBefore();
  const ms = crossing.quiet(slot, epoch);
  handOver();
  return ms ?? undefined;
}

/** Adds to the number of lanes that keep the process alive. */
function hold(count) {
  active += count;
  if (active > 0 !== holding && !holdScheduled) {
    holdScheduled = true;
    nextTick(tellHold);
  }
}

/** By itself, and not with what the tick has gathered: that may go later. */
function tellHold() {
  holdScheduled = false;
  if (active > 0 === holding) return;
  holding = !holding;
  crossing.setActive(holding);
}

/** A row for bytes that stand at the end of the shared buffer. Those of a head and its body go as one. */
function inlineRow(slot, epoch, flags, notify, count) {
  if (isEarly) flags |= opFlag.EARLY;
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

/** As write(), without a copy: the buffer must stay as it is until all of it is reported as written. */
function lend(slot, epoch, flags, chunk, notify) {
  blobRow(slot, epoch, flags, notify, chunk, loans.lend(chunk));
  return chunk.length;
}

/** Sent at once: what is copied may be changed as soon as the write is reported as done, which may be now. */
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

// Where `deliver` is in the batch. Out here, since a handler that throws ends the call: Rust then
// reports the exception and calls again with -1 for the rest.
let nextRow = 0;
let lastRow = 0;
let nextByte = 0;
let buffers;
let nextBuffer = 0;
let delivering = false;

/**
 * After so many ms of handlers the event loop gets a turn: its timers and other sockets are not to wait for all
 * that came in one batch. The rest is handed over in the loop's next turn.
 */
const TURN = 0.5;
let turnEnds = 0;
/** All of it is wanted now. */
let isDraining = false;

/** Node drains both queues between the events of two sockets, so every row gets its own drain. */
const runTicks = process._tickCallback;

function deliver(count, list, begins) {
  delivering = true;
  if (begins) turnEnds = isDraining ? Infinity : performance.now() + TURN;
  if (count >= 0) {
    nextRow = 0;
    lastRow = count;
    nextByte = 0;
    buffers = list;
    nextBuffer = 0;
  } else {
    endTick();
  }
  while (nextRow < lastRow) {
    const at = nextRow++ * ROW_WIDTH;
    const head = rowsIn[at];
    const slot = rowsIn[at + 1];
    const length = rowsIn[at + 4];
    const code = head & 0xff;
    const flags = head >> 8;
    const binary = isBinary(code);
    const isPlain = code === event.RESPONSE || code === event.BODY;
    const own = (binary || isPlain) && (flags & eventFlag.OWN_BUFFER) !== 0;
    const from = nextByte;
    const buffer = own ? buffers[nextBuffer++] : undefined;
    if (own) youngBuffers.note(buffer.length);
    nextByte += length;

    const lane = lanes[slot];
    if (lane === undefined || epochs[slot] !== rowsIn[at + 2]) {
      if (code === event.RETURNED) loans.takeBack(rowsIn[at + 3]);
      continue;
    }
    if (code === event.DATA) {
      lane._received(own ? buffer : copyOut(from, length));
    } else if (isPlain) {
      const size = rowsIn[at + 3];
      const receive = code === event.RESPONSE ? lane._receivedResponse : lane._receivedBody;
      if (own) receive.call(lane, buffer, 0, size, bytesIn, from, length, true);
      else receive.call(lane, bytesIn, from, size, bytesIn, from + size, length - size, false);
    } else if (binary) {
      lane._reported(code, flags, rowsIn[at + 3], own ? buffer : copyOut(from, length));
    } else {
      const text = length > 0 ? bytesIn.toString('utf8', from, nextByte) : '';
      lane._reported(code, flags, rowsIn[at + 3], text);
    }
    endTick();
    if (nextRow < lastRow && performance.now() >= turnEnds) return pause();
  }
  buffers = undefined;
  delivering = false;
  send();
  return false;
}

/** What is left is handed over behind the loop's timers: they run between two phases of immediates. */
function pause() {
  delivering = false;
  send();
  immediately(immediately, resume);
  return true;
}

function resume() {
  crossing.drain();
}

function endTick() {
  runTicks();
  if (rows > 0) send();
  // The next submission tells it.
  else settled = revocable;
}

/** A chunk of its own: the shared buffer is overwritten by the next batch. */
function copyOut(from, length) {
  const chunk = Buffer.allocUnsafe(length);
  if (length > SMALL) bytesIn.copy(chunk, 0, from, from + length);
  else for (let i = 0; i < length; i++) chunk[i] = bytesIn[from + i];
  return chunk;
}

module.exports = {
  INLINE_MAX,
  copyOut,
  row,
  write,
  lend,
  wait,
  withdraw,
  enter,
  enterAt,
  leave,
  nextEpoch,
  introduce,
  open,
  openTo,
  resolved,
  facts,
  quiet,
  exportKeyingMaterial,
  drain,
  stats,
  takeBack,
  hold,
  patientRow,
  prolongTick,
  endWithTick,
  sendEarly,
};
