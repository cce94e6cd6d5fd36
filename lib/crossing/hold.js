'use strict';

// Whether the process has to wait for the crossing: as long as a lane is in use that nobody has unrefed.

const { nextTick } = require('../node/clock');

/** Lanes that the process has to wait for, and whether Rust has been told so. */
let active = 0;
let holding = false;
let holdScheduled = false;

let crossing;

/** The native side is there. */
function begin(native) {
  crossing = native;
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

module.exports = { begin, hold };
