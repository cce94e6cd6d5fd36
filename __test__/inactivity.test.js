'use strict';

// What becomes of a timer that has run out although something has left of late: a question of milliseconds, and of
// what the kernel takes when, so the lane and Rust are stand-ins here.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const Inactivity = require('../lib/lane/inactivity');
const WriteWindow = require('../lib/lane/write-window');

/** ms. */
const TIMEOUT = 100;

/** What is done with the timer of a lane that has written so many bytes, of which the last have left `quiet` ms ago. */
function outcome({ written, reported = 0, quiet }) {
  const sender = { send: (chunk) => chunk.length };
  const output = new WriteWindow(sender);
  output.write(Buffer.alloc(written), '');
  output.reported(reported);
  let done;
  const lane = {
    timeout: TIMEOUT,
    _httpMessage: null,
    _unrefTimer: () => (done = 'begins anew'),
    _waitOut: (rest) => (done = `goes on for ${rest} ms`),
  };
  const place = { isOpened: true, epoch: 1, quiet: () => quiet };
  const rest = { input: { bytesRead: 0 }, connection: { isEstablished: true }, agent: { options: {} } };
  const isProved = new Inactivity({ lane, place, output, ...rest }).isProved();
  return isProved ? 'is told of' : done;
}

test('a small request that has left a little later than it was written: the rest of the time', () => {
  assert.equal(outcome({ written: 500, quiet: 99 }), 'goes on for 1 ms');
  assert.equal(outcome({ written: 500, quiet: 100 }), 'is told of');
});

test('a large write that goes on: the whole time', () => {
  assert.equal(outcome({ written: 100_000, quiet: 60 }), 'begins anew');
  assert.equal(outcome({ written: 100_000, quiet: 100 }), 'is told of');
  assert.equal(outcome({ written: 100_000, reported: 100_000, quiet: 60 }), 'goes on for 40 ms');
});
