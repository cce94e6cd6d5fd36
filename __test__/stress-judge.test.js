'use strict';

// The rules of the stress run (helpers/stress/rules.js) against rounds that broke them.

const { test } = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { bytesOf } = require('./helpers/stress/body');
const { Evidence } = require('./helpers/stress/evidence');
const { LEAVES_CONNECTING, judge } = require('./helpers/stress/judge');
const { HOLE, REFUSING } = require('./helpers/stress/plan-request');

const ADDRESS = { host: '127.0.1.1', port: 5000 };
const AGENT = { options: {} };

/** A PUT that was answered on the second connection of a server, where it was the second request; and what that saw. */
function goodRound() {
  const plan = {
    id: '0-0',
    agent: 0,
    host: ADDRESS.host,
    method: 'PUT',
    acts: ['answer', 'answer'],
    answer: { status: 200, size: 10, framing: 'length', interim: 0, headers: [], pieces: [] },
    key: false,
    body: { way: 'end', size: 100, pieces: 1 },
    read: { way: 'flow' },
    deeds: [],
  };
  const request = { attempts: 1, reusedSocket: true, agent: AGENT };
  const call = { plan, id: plan.id, request, at: 10, over: 20, localPort: ADDRESS.port, port: ADDRESS.port };
  Object.assign(call, {
    isAborted: false,
    isCut: false,
    thrown: 0,
    isSettled: true,
    closes: 1,
    responses: 1,
    errors: [],
  });
  Object.assign(call, {
    interim: [],
    status: 200,
    answer: plan.id,
    received: 10,
    isRight: true,
    isWhole: true,
  });
  const hash = crypto.createHash('sha256').update(bytesOf(plan)).digest('hex');
  const events = [
    { type: 'accept', at: 1, connection: 2, ...ADDRESS },
    { type: 'request', at: 11, id: plan.id, connection: 2, nth: 2 },
    { type: 'whole', at: 12, id: plan.id, length: 100, hash },
    { type: 'answered', at: 13, id: plan.id },
  ];
  return { plan, call, request, events, retried: new Set() };
}

/** The same, failed; `facts` are those of its error. */
function fail({ call }, facts) {
  const error = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET', connection: facts });
  Object.assign(call, { responses: 0, answer: undefined, isWhole: false, received: 0, errors: [error] });
}

/** The same, sent again on another connection, on which it is the request number `nth`. */
function repeat({ plan, events }, nth = 1) {
  plan.acts[0] = 'close';
  events.splice(3, 1, ...['ending', 'closed'].map((type) => ({ type, at: 13, connection: 2 })));
  events.push({ type: 'accept', at: 14, connection: 3, ...ADDRESS });
  events.push({ type: 'request', at: 15, id: plan.id, connection: 3, nth });
  events.push({ type: 'answered', at: 16, id: plan.id });
}

function seeRepetition({ request, retried }) {
  request.attempts = 2;
  retried.add(request);
}

function verdictsOn(change) {
  const round = goodRound();
  change(round);
  const texts = [];
  judge([round.call, ...(round.others ?? [])], [AGENT], new Evidence(round.events), round.retried, (text) =>
    texts.push(text.split('\n')[0]),
  );
  return texts;
}

const FACTS = { bytesWritten: 300, served: 1 };

/** The same, refused by its server at this time. */
function refuse(round, from, until) {
  round.events.splice(1);
  fail(round, { reason: 'connect-failed' });
  Object.assign(round.call.errors[0], { code: 'ECONNREFUSED', reason: 'connect-failed' });
  const { host } = ADDRESS;
  round.events.push({ type: 'refusing', at: from, host }, { type: 'listening', at: until, host });
}

/** Before it, one that was given up before it was sent, made at this time. */
function precede(round, at) {
  const { plan, request, call } = goodRound();
  const id = '0-before';
  Object.assign(call, { id, plan: { ...plan, id }, at, isAborted: true, responses: 0, answer: undefined });
  fail({ call }, { bytesWritten: 0, served: 0 });
  round.others = [{ ...call, request: { ...request, reusedSocket: false } }];
}

/** The same, become a tunnel of which so many bytes have come back. */
function tunnel({ call, plan }, received) {
  plan.acts[0] = 'switch';
  plan.tunnel = { size: 10, pieces: 1, end: 'end' };
  call.tunnel = { isRight: true, isWhole: received === 10, received };
}

for (const [what, change] of Object.entries({
  'a request that was answered': () => {},
  'one that was sent again, as its caller sees': (round) => {
    repeat(round);
    seeRepetition(round);
  },
  'one that was sent again and failed': (round) => {
    repeat(round);
    seeRepetition(round);
    fail(round, FACTS);
  },
  'one that was refused while nobody listened': (round) => refuse(round, 5, 11),
  'one that was refused, and nobody has listened since': (round) => {
    refuse(round, 19, 0);
    round.events.pop();
  },
  ...(LEAVES_CONNECTING && {
    'one that was refused on the connection of one that was given up': (round) => {
      refuse(round, 5, 9);
      precede(round, 4);
    },
  }),
  'one whose repetition the server has read first': (round) => {
    const { events } = round;
    repeat(round);
    seeRepetition(round);
    events.push({ ...events[1], at: 17 });
    events.splice(1, 1);
  },
  'one beside which a probe has come': ({ events }) => {
    events.push({ type: 'accept', at: 12, connection: 3, ...ADDRESS, port: 5001, beyond: [2] });
    events.push({ type: 'client-fin', at: 12, connection: 3 });
  },
  'one that became a tunnel': (round) => tunnel(round, 10),
  'one with a trailer that got one': ({ plan, call, events }) => {
    plan.body.trailers = true;
    events[2].trailers = { 'x-last': plan.id };
    plan.answer.framing = 'extended';
    call.trailers = { 'x-last': '1' };
  },
  'one that its caller has ended': (round) => {
    fail(round, FACTS);
    round.call.isAborted = true;
  },
}))
  test(`nothing is said of ${what}`, () => assert.deepEqual(verdictsOn(change), []));

for (const [violation, change] of Object.entries({
  'not settled, with 1 responses': ({ call }) => (call.isSettled = false),
  'settled 2 times': ({ call, plan, events }) => {
    call.closes = 2;
    delete plan.body;
    events.splice(2, 1);
  },
  '2 responses, 0 errors': ({ call }) => (call.responses = 2),
  'neither response nor error': (round) => {
    fail(round, FACTS);
    round.call.errors = [];
  },
  'came too often': (round) => {
    repeat(round);
    seeRepetition(round);
    round.plan.method = 'POST';
  },
  'sent more often than its caller allows': (round) => {
    seeRepetition(round);
    round.plan.retry = false;
  },
  'sent again on a connection that is not fresh': (round) => {
    repeat(round, 2);
    seeRepetition(round);
  },
  'sent again although its first connection was fresh': (round) => {
    repeat(round);
    seeRepetition(round);
    round.events[1].nth = 1;
  },
  'sent again although it was answered': (round) => {
    repeat(round);
    seeRepetition(round);
    round.plan.acts[0] = 'answer';
    round.events.splice(3, 0, { type: 'answered', at: 12.5, id: '0-0' });
  },
  'a repetition that the caller does not see': (round) => repeat(round),
  'the channel of repetitions and request.attempts differ': ({ request, retried }) => retried.add(request),
  'an error without facts': ({ call }) => call.errors.push(new Error('Parse Error')),
  'came although no byte was written': (round) => fail(round, { bytesWritten: 0, served: 1 }),
  'failed on a fresh connection before it came': (round) => {
    fail(round, { bytesWritten: 0, served: 0 });
    round.events.splice(1);
  },
  'got the answer of 0-1, status 200, sent -Infinity ms before': ({ call }) => (call.answer = '0-1'),
  'got the answer of surplus, status 200, sent -Infinity ms before': ({ call }) => (call.answer = 'surplus'),
  'got the answer of forged, status 200, sent 5.00 ms before': ({ call, events }) => {
    call.answer = 'forged';
    events.push({ type: 'closed', at: 5, connection: 2 });
  },
  'answered from port 5001, where it never was': ({ call }) => (call.port = call.localPort = 5001),
  'ECONNREFUSED without cause': (round) => refuse(round, 5, 9),
  'an answer from where nobody is': ({ plan }) => (plan.host = REFUSING),
  'ECONNREFUSED for ETIMEDOUT': (round) => {
    refuse(round, 5, 11);
    round.plan.host = HOLE;
  },
  'its tunnel changes bytes': (round) => {
    tunnel(round, 10);
    round.call.tunnel.isRight = false;
  },
  'its tunnel ended after 9 bytes of 10': (round) => tunnel(round, 9),
  'the trailer of its answer is lost': ({ plan, call }) => {
    plan.answer.framing = 'extended';
    call.trailers = {};
  },
  'its trailer is lost': ({ plan }) => (plan.body.trailers = true),
  'interim answers of 0-1': ({ call, plan }) => {
    plan.answer.interim = 1;
    call.interim = ['0-1'];
  },
  'bytes of its answer are wrong': ({ call }) => (call.isRight = false),
  '9 bytes of 10': ({ call }) => (call.received = 9),
  'a part passed for the whole': ({ plan }) => Object.assign(plan.answer, { stop: 0.9, end: 'half' }),
  'a good answer was cut short': ({ call }) => (call.isWhole = false),
  '99 bytes of its body came, of 100': ({ events }) => (events[2].length = 99),
  'its body came with other bytes': ({ events }) => (events[2].hash = ''),
  'a failure that could have been repaired': (round) => fail(round, FACTS),
  'sent on a connection that was known to be dead': (round) => {
    fail(round, FACTS);
    round.plan.method = 'POST';
    round.events.splice(1, 3, { type: 'closed', at: 5, connection: 2 });
  },
  'failed on a good fresh connection': (round) => {
    fail(round, FACTS);
    round.events[1].nth = 1;
  },
}))
  test(`it is noticed: ${violation}`, () => {
    const verdicts = verdictsOn(change);
    assert.ok(verdicts.includes(violation), `only ${verdicts}`);
  });

test('it is noticed: what is no request, and a connection beyond the limit', () => {
  const texts = verdictsOn(({ events }) => {
    events[0].beyond = [];
    events.push({ type: 'stray', at: 20, connection: 2, text: 'abc' });
  });
  assert.deepEqual(
    texts.map((text) => text.split(/[,:]/)[0]),
    ['connection 2 got what is no request', 'connection 2 was one too many'],
  );
});
