'use strict';

// Who is where in the crossing. A slot is an index that is used again; its epoch goes up with each lane and each
// request that it gets, so that what is late finds another one.

const { expect } = require('./expecting');

const occupants = [];
const epochs = [];
const free = [];

/** Gives a lane its slot. */
function enter(lane) {
  expect(1);
  const slot = free.length > 0 ? free.pop() : occupants.length;
  occupants[slot] = lane;
  return slot;
}

/** Another one is in the slot from now on, in the same epoch. */
function enterAt(slot, lane) {
  occupants[slot] = lane;
}

function nextEpoch(slot) {
  return (epochs[slot] = ((epochs[slot] | 0) + 1) & 0x7fffffff);
}

/** Everybody who is somewhere. */
function everybody() {
  return occupants.filter((occupant) => occupant !== undefined);
}

/** The slot is in the epoch before. */
function takeBackEpoch(slot) {
  epochs[slot] = (epochs[slot] - 1) & 0x7fffffff;
}

/** The lane is gone: late reports of it find another epoch. */
function leave(slot) {
  nextEpoch(slot);
  occupants[slot] = undefined;
  free.push(slot);
  expect(-1);
}

/** Whom a report of this epoch is for; undefined if it is late. */
function occupantOf(slot, epoch) {
  return epochs[slot] === epoch ? occupants[slot] : undefined;
}

module.exports = { enter, enterAt, everybody, leave, nextEpoch, occupantOf, takeBackEpoch };
