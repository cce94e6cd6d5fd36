'use strict';

// What becomes of a timer that has run out although something has left of late, or that is set anew while it is asked
// for how long nothing has moved: a question of milliseconds, and of what the kernel takes when, so Rust is a stand-in here.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const Inactivity = require('../lib/lane/inactivity');
const WriteWindow = require('../lib/lane/write-window');

/** ms. */
const TIMEOUT = 100;

/** A lane whose timer has run out, and which has written so many bytes; `done` lists what is done with that. */
function runOut({ written = 500, reported = 0 } = {}) {
  const output = new WriteWindow({ send: (chunk) => chunk.length });
  output.write(Buffer.alloc(written), '');
  output.reported(reported);
  const done = [];
  const questions = [];
  const lane = {
    timeout: TIMEOUT,
    _httpMessage: null,
    _isTimeOver: true,
    _unrefTimer: () => done.push('begins anew'),
    _waitOut: (rest) => done.push(`goes on for ${rest} ms`),
    _tellTimeout: () => done.push('is told of'),
  };
  const place = { isOpened: true, row: (op, question) => questions.push(question) };
  const rest = { input: { bytesRead: 0 }, connection: { isEstablished: true }, agent: { options: {} } };
  const inactivity = new Inactivity({ lane, place, output, ...rest });
  inactivity.ask();
  return { done, inactivity, lane, questions };
}

/** What is done when nothing has moved for `quiet` ms. */
function outcome({ quiet, ...written }) {
  const { done, inactivity, questions } = runOut(written);
  inactivity.answered(questions[0], quiet);
  return done.join();
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

test('a lane without a connection has been silent', () => {
  assert.equal(outcome({ quiet: -1 }), 'is told of');
});

test('a timer that was set before the answer came is left alone', () => {
  const { done, inactivity, lane, questions } = runOut();
  lane._isTimeOver = false;
  inactivity.answered(questions[0], 100);
  assert.deepEqual(done, []);
});

test('a timer that has run out again by then waits for the answer to its own question', () => {
  const { done, inactivity, questions } = runOut();
  inactivity.ask();
  inactivity.answered(questions[0], 100);
  assert.deepEqual(done, []);
  inactivity.answered(questions[1], 100);
  assert.deepEqual(done, ['is told of']);
});

test('a lane that is idle by then is Rust’s to watch', () => {
  const { done, inactivity, lane, questions } = runOut();
  lane._isIdle = true;
  inactivity.answered(questions[0], 100);
  assert.deepEqual(done, []);
});
