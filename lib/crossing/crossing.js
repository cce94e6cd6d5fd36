'use strict';

// JavaScript's half of the crossing: its beginning, and what has a native call of its own, as it is rare or a question.
// All else goes in rows (submit.js), and comes in batches (deliver.js).

const { isMainThread } = require('node:worker_threads');
const { native } = require('../binding');
const account = require('./account');
const deliver = require('./deliver');
const expecting = require('./expecting');
const { warnNoThread } = require('../fallback');
const hold = require('./hold');
const { startLog } = require('./log');
const { op, opFlag, closeReason } = require('./records');
const slots = require('./slots');
const submit = require('./submit');

const { Account } = account;
const { sendBefore } = submit;

let crossing;

/**
 * Whether there is a thread to lead to: started now, if it does not run yet. Without one, for want of descriptors or
 * threads, connections are Node's own, and the next is tried again.
 */
function isReady() {
  if (crossing !== undefined) return true;
  startLog(native);
  const errno = native.startRuntime();
  if (errno === 0) start();
  else warnNoThread(errno);
  return errno === 0;
}

function start() {
  const { rowsOut, bytesOut } = submit;
  const { rowsIn, bytesIn } = deliver;
  crossing = new native.Crossing(rowsOut, bytesOut, rowsIn, bytesIn, deliver.deliver, isMainThread);
  for (const part of [account, submit, deliver, expecting, hold]) part.begin(crossing);
}

/** Tells Rust where a number leads (see routes.js); `forgotten` leads nowhere from now on. */
function introduce(number, route, context, forgotten) {
  sendBefore();
  crossing.introduce(number, route, context, forgotten);
}

/** Opens a lane at once: it connects while the tick goes on. */
function open(slot, epoch, flags, route, resolver) {
  submit.append(op.OPEN | (flags << 8), slot, epoch, route, resolver);
  sendBefore();
}

/** The same with addresses that JavaScript found, which serve other connects for `ttl` ms. */
function openTo(addresses, ttl, slot, epoch, flags, route, resolver) {
  sendBefore();
  crossing.openTo(slot, epoch, { flags, route, resolver, addresses, ttl });
}

/** Behind all that was sent in this tick, which can no longer be taken back then: the request may have begun with that. */
function exportKeyingMaterial(slot, epoch, length, label, context) {
  submit.send();
  return crossing.exportKeyingMaterial(slot, epoch, length, label, context);
}

function resolved(slot, serial, addresses) {
  sendBefore();
  crossing.resolved(slot, serial, addresses);
}

/**
 * Closes a lane now: its tick may last. Where that may take back what it has submitted, this goes before it, unless what the
 * lane has written is to leave. `tell`: see Account.
 */
function close(slot, epoch, flags, reason, tell) {
  const head = op.CLOSE | (flags << 8);
  return new Account((number) => {
    if (submit.isRevocable() && !(flags & opFlag.OVER)) {
      sendBefore();
      return crossing.close(head, slot, epoch, reason, number);
    }
    // Together with what has been written in this tick, which it may take back.
    submit.append(head, slot, epoch, reason, number);
    submit.send();
    return false;
  }, tell);
}

/** Takes a request that waits back: '' then. It has been sent if there are facts; undefined if nobody can say. */
function withdraw(slot, epoch) {
  sendBefore();
  const facts = crossing.withdraw(slot, epoch) ?? undefined;
  if (facts === '') {
    // The question goes before what may still be taken back, and the request may be among that.
    submit.append(op.CLOSE, slot, epoch, closeReason.ABORTED, 0);
    sendBefore();
  }
  return facts;
}

/**
 * Takes back a request that has begun early on a lane, with `count` bytes: the slot is in the epoch before it then.
 * false if a byte of it has left, or may have.
 */
function takeBack(slot, epoch, count) {
  if (!submit.isRevocable()) return false;
  sendBefore();
  if (!crossing.takeBack(slot, epoch, count)) return false;
  slots.takeBackEpoch(slot);
  return true;
}

/** Takes back what was lent, if it is not back: when this returns nothing of it is sent any more. */
function revoke({ chunk, number }) {
  if (chunk !== undefined) crossing.revoke(number);
}

/** The status of an agent, as text (see status.js). */
function stats(agent) {
  submit.sendSettled();
  return crossing?.stats(agent) ?? '';
}

/** Hands over all that waits to be handed over, unless it is called from within a batch. */
function drain() {
  sendBefore();
  if (crossing !== undefined) deliver.handOver();
}

module.exports = {
  INLINE_MAX: submit.INLINE_MAX,
  row: submit.row,
  patientRow: submit.patientRow,
  write: submit.write,
  lend: submit.lend,
  revoke,
  wait: submit.wait,
  prolongTick: submit.prolongTick,
  endWithTick: submit.endWithTick,
  sendEarly: submit.sendEarly,
  hold: hold.hold,
  isReady,
  enter: slots.enter,
  enterAt: slots.enterAt,
  leave: slots.leave,
  nextEpoch: slots.nextEpoch,
  introduce,
  open,
  openTo,
  resolved,
  close,
  exportKeyingMaterial,
  withdraw,
  takeBack,
  drain,
  stats,
};
