'use strict';

// Where a lane is in the crossing: its slot, and the epoch in which it speaks there. All that it asks of Rust names
// both, and so does all that is reported to it. A request that waits has a place too (waiting.js); the lane that it
// gets moves there.

const crossing = require('./crossing');
const { op, opFlag, closeReason } = require('./records');

/** The slot of one that has been left. */
const NOWHERE = -1;
const LIMITLESS = -1;
/** What the native side counts to. */
const MAX_LIMIT = 0x7fffffff;

class Place {
  #slot;
  #epoch;
  /** The epoch before the request that has the lane now: it may be taken back. */
  #idleEpoch = 0;
  /** Where the lane was before it moved, and whose place it has been since. */
  #before;
  #movedTo;
  /** Whether Rust knows of it. */
  #isOpened = false;
  /** Whether the process waits for it while it is opened. */
  #holds;
  /** How long the request that it is opened for has waited, in ms. */
  #waited;

  /** `occupant`: whom the crossing reports to; `holds`: whether the process waits for it. */
  constructor(occupant, holds) {
    this.#holds = holds;
    this.#slot = crossing.enter(occupant);
    this.#epoch = crossing.nextEpoch(this.#slot);
  }

  get isOpened() {
    return this.#isOpened;
  }

  get isLeft() {
    return this.#slot === NOWHERE;
  }

  /** The same epoch as long as the same request has the lane. */
  get epoch() {
    return this.#epoch;
  }

  setHold(on) {
    const wasHeld = this.#isHeld;
    this.#holds = on;
    this.#tellHold(wasHeld);
  }

  get #isHeld() {
    return this.#isOpened && !this.isLeft && this.#holds;
  }

  #tellHold(wasHeld) {
    if (this.#isHeld !== wasHeld) crossing.hold(wasHeld ? -1 : 1);
  }

  // ---- How it is opened: by a lane that is to have a connection, or by a request that waits for a lane.

  /** The arguments are those of Lane's _open(); `route`: its number. */
  open(route, resolver, flags, addresses, dnsCacheTtl) {
    // A lookup in JavaScript that never answers holds nothing; a connect does.
    const wasHeld = this.#isHeld;
    this.#isOpened = true;
    this.#tellHold(wasHeld);
    if (addresses === undefined) crossing.open(this.#slot, this.#epoch, flags, route, resolver);
    else crossing.openTo(addresses, dnsCacheTtl, this.#slot, this.#epoch, flags, route, resolver);
    if (this.#waited !== undefined) this.noteWait(this.#waited);
  }

  /** Hands over what a request has written; returns the number of its bytes, which `flagsOf` is given too. */
  wait(queue, pieces, flagsOf) {
    this.#isOpened = true;
    return crossing.wait(this.#slot, this.#epoch, queue, pieces, flagsOf);
  }

  // ---- How it changes hands.

  /** The lane goes on where a request has waited. If it has a connection, that goes with it. */
  moveTo(other, isConnected, received) {
    const wasHeld = this.#isHeld;
    if (isConnected) other.row(op.ATTACH, this.#slot, received);
    else if (this.#isOpened) this.row(op.CLOSE, closeReason.NOT_KEPT, 0);
    crossing.leave(this.#slot);
    this.#before = { slot: this.#slot, epoch: this.#epoch };
    this.#movedTo = other;
    this.#slot = other.#slot;
    this.#epoch = other.#epoch;
    this.#isOpened = true;
    this.#tellHold(wasHeld);
    if (this.#waited !== undefined) this.noteWait(this.#waited);
  }

  /** Whether the lane was there before it moved. */
  wasAt(slot, epoch) {
    return this.#before.slot === slot && this.#before.epoch === epoch;
  }

  /** Whether the lane has moved there, and is there still. */
  isAt(other) {
    return this.#movedTo === other && !this.isLeft;
  }

  /** What is reported here is reported to the lane from now on. */
  giveTo(lane) {
    crossing.enterAt(this.#slot, lane);
  }

  /** A request takes up the lane. */
  lease(isConnected, received, maxReplayBytes) {
    this.#idleEpoch = this.#epoch;
    // While the first connection is made nothing of a request before can be late, and what is reported of
    // the connect must not seem to be: it is this request's too.
    if (isConnected) this.#epoch = crossing.nextEpoch(this.#slot);
    this.row(op.LEASE | (opFlag.HTTP << 8), received, maxReplayBytes);
  }

  /** It has written `bytes`, and is no more. false: it is too late for that. */
  takeBack(bytes) {
    if (!crossing.takeBack(this.#slot, this.#epoch, bytes)) return false;
    this.#epoch = this.#idleEpoch;
    return true;
  }

  /** What the server says of the connection, if anything (idle-limit.js); another request is about to get it. */
  tellHint(hint) {
    if (hint === undefined || this.isLeft) return;
    crossing.patientRow(op.HINT, this.#slot, this.#epoch, toLimit(hint.timeout), toLimit(hint.max));
  }

  /** The lane is idle, for `limit` ms at most; `hint`: what the server says of that (idle-limit.js). */
  park(limit, hint, received) {
    this.tellHint(hint);
    crossing.patientRow(op.PARK, this.#slot, this.#epoch, toLimit(limit), received);
  }

  /** Takes the request that waits back: '' then, and the place is left. Else what is known of it (facts.js). */
  withdraw() {
    const facts = crossing.withdraw(this.#slot, this.#epoch);
    if (facts === '') this.#vacate();
    return facts;
  }

  /** It is given up, for `reason`. */
  leave(reason, flags = 0) {
    if (this.isLeft) return;
    if (this.#isOpened) this.row(op.CLOSE | (flags << 8), reason, 0);
    this.#vacate();
  }

  /** The same at once, of one that has been opened: nothing more leaves while the tick goes on. What is known: see Account. */
  close(reason, flags, tell) {
    const account = crossing.close(this.#slot, this.#epoch, flags, reason, tell);
    this.#vacate();
    return account;
  }

  #vacate() {
    const wasHeld = this.#isHeld;
    crossing.leave(this.#slot);
    this.#slot = NOWHERE;
    this.#tellHold(wasHeld);
  }

  // ---- What is said from it.

  /** Nobody hears what is said after it was left. */
  row(head, argument, length) {
    if (!this.isLeft) crossing.row(head, this.#slot, this.#epoch, argument, length);
  }

  // These may wait for the others of this tick.

  /** The request to come has waited for its lane. Rust counts it by what the lane leads to, which it has to know of. */
  noteWait(ms) {
    this.#waited = this.#isOpened ? undefined : ms;
    if (this.#isOpened && !this.isLeft)
      crossing.patientRow(op.WAITED, this.#slot, this.#epoch, Math.round(ms), 0);
  }

  yieldTo(queue) {
    if (!this.isLeft) crossing.patientRow(op.YIELD, this.#slot, this.#epoch, queue, 0);
  }

  resolved(serial, addresses) {
    crossing.resolved(this.#slot, serial, addresses);
  }

  write(flags, chunk, encoding, report) {
    return crossing.write(this.#slot, this.#epoch, flags, chunk, encoding, report);
  }

  lend(flags, chunk, report) {
    return crossing.lend(this.#slot, this.#epoch, flags, chunk, report);
  }

  // ---- What is asked from it.

  exportKeyingMaterial(length, label, context) {
    return crossing.exportKeyingMaterial(this.#slot, this.#epoch, length, label, context);
  }
}

/** A limit as rows have it. */
function toLimit(limit = Infinity) {
  return limit < MAX_LIMIT ? Math.ceil(limit) : LIMITLESS;
}

module.exports = Place;
