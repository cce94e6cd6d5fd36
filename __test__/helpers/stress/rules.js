'use strict';

// The rules of a stress run: what must hold for each request, by what its caller and the server have seen.

const crypto = require('node:crypto');
const { hasBody } = require('../composed-answer');
const { bytesOf } = require('./body');
const { DEATHS, HOLE, REFUSING } = require('./plan-request');

/** Bytes of the head of a request, at most. */
const HEAD = 1500;
/** Bytes of an answer that is on its way in one go. */
const SMALL = 2000;
const MAX_REPLAY = 65_536;
/** What is told of addresses at which nobody is. */
const CONNECT_ERRORS = { [HOLE]: 'ETIMEDOUT', [REFUSING]: 'ECONNREFUSED' };

/** Each yields what is wrong. */
const RULES = [
  function* hasOneOutcome({ isSettled, closes, responses, errors, plan, answer }, one) {
    const { isUndisturbed, isGood, error, isBehindForged, connection, evidence } = one;
    if (!isSettled) yield `not settled, with ${responses} responses`;
    // Where the connection goes between an answer and the end of its reading, or Node destroys it for what came behind
    // the answer, it tells twice, with http.Agent too.
    const isReadAtOnce =
      isUndisturbed &&
      isGood &&
      !plan.body &&
      !plan.tunnel &&
      plan.read.way === 'flow' &&
      !plan.answer.surplus;
    if (closes > 1 && isReadAtOnce) yield `settled ${closes} times`;
    // Where a forged answer has crossed it Node's parser takes the switch that follows for one, too.
    const due = plan.tunnel && answer === 'forged' ? 2 : 1;
    // Who destroys it with an error while it tells of another may hear of both.
    if (responses > due || errors.length > (isUndisturbed ? 1 : 2))
      yield `${responses} responses, ${errors.length} errors`;
    // A switch that nobody expects Node keeps to itself.
    const mayBeSilent = plan.read.way === 'dump' || (isBehindForged && hasSwitch(connection, evidence));
    if (isUndisturbed && responses === 0 && !error && !mayBeSilent) yield 'neither response nor error';
  },

  function* isSentOnce(
    { plan },
    { arrivals, came, attempts, mayBeRepeated, mayBeIdle, evidence, isCrossed },
  ) {
    if (came > (mayBeRepeated ? 2 : 1)) yield 'came too often';
    if (attempts > 2 || (attempts === 2 && !mayBeRepeated)) yield 'sent more often than its caller allows';
    if (came !== 2) return;
    const [first, second] = arrivals;
    if (second.nth !== 1) yield 'sent again on a connection that is not fresh';
    if (first.nth === 1 && !mayBeIdle) yield 'sent again although its first connection was fresh';
    if (/^(answer|switch)/.test(plan.acts[0]) && !isCrossed && !['close', 'reset'].includes(plan.answer.end))
      yield 'sent again although it was answered';
    if (evidence.beginningOfEnd(first.connection) === Infinity && !isUpset(plan))
      yield 'sent again without a loss';
  },

  function* isRepetitionSeen({ request }, { came, attempts, retried, isUndisturbed }) {
    if (came === 2 && attempts !== 2) yield 'a repetition that the caller does not see';
    const isTold = retried.has(request);
    if (isTold ? attempts !== 2 : isUndisturbed && attempts === 2)
      yield 'the channel of repetitions and request.attempts differ';
  },

  function* hasTrueFacts(call, { error, came, attempts, isUndisturbed, isQueueFailure, isRefused }) {
    const { connection } = error ?? {};
    if (error === undefined) return;
    if (connection === undefined) {
      yield 'an error without facts';
      return;
    }
    if (connection.bytesWritten === 0 && attempts === 1 && came > 0)
      yield 'came although no byte was written';
    if (isUndisturbed && !isQueueFailure && !isRefused && came === 0 && connection.served === 0)
      yield 'failed on a fresh connection before it came';
  },

  function* connectsWherePossible(
    { plan, responses },
    { came, error, isRefused, isUndisturbed, isQueueFailure },
  ) {
    if (!isRefused && ['connect-failed', 'connect-timeout'].includes(error?.reason))
      yield `${error.code} without cause`;
    const due = CONNECT_ERRORS[plan.host];
    if (due === undefined) return;
    if (came + responses > 0) yield 'an answer from where nobody is';
    if (isUndisturbed && !isQueueFailure && error?.code !== due) yield `${error?.code} for ${due}`;
  },

  function* getsItsOwnAnswer(call, one) {
    const { answer, plan, interim, port, status } = call;
    const { evidence, arrivals, end, byId } = one;
    // What follows on a connection where a forged answer has crossed a request, the next ones get.
    if (isDisplaced(call, byId, evidence)) return;
    if (interim.some((id) => id !== call.id)) yield `interim answers of ${interim}`;
    if (interim.length > plan.answer.interim) yield `${interim.length} interim answers`;
    if (answer === call.id) {
      if (!arrivals.some(({ connection }) => evidence.portOf(connection) === port))
        yield `answered from port ${port}, where it never was`;
    } else if (call.responses > 0) {
      // What crosses the request on the wire cannot be told from its answer.
      const mayCross = answer === 'forged' || status === 408;
      if (!mayCross || end < call.at)
        yield `got the answer of ${answer}, status ${status}, sent ${(call.at - end).toFixed(2)} ms before`;
    }
  },

  function* getsItWhole(call, one) {
    const { plan, isRight, isWhole, received, responses, status } = call;
    if (call.answer !== call.id || call.tunnel) return;
    if (!isRight) yield 'bytes of its answer are wrong';
    const { stop, surplus, framing, size } = plan.answer;
    // What is not whole cannot be told by who has only the end of the connection to go by.
    const isCut = stop !== undefined && framing !== 'close' && !surplus;
    const due = hasBody(plan.method, plan.answer) ? size : 0;
    if (status !== plan.answer.status) yield `status ${status}`;
    if (isWhole && isCut) yield 'a part passed for the whole';
    if (isWhole && stop === undefined && received !== due) yield `${received} bytes of ${due}`;
    if (received > due) yield `${received} bytes of ${due}`;
    const hasTrailer = framing === 'extended' && stop === undefined && hasBody(plan.method, plan.answer);
    if (isWhole && hasTrailer && call.trailers['x-last'] !== '1') yield 'the trailer of its answer is lost';
    const isLost = responses > 0 && !isWhole && one.isUndisturbed && plan.read.way !== 'leave';
    // An end of the idle connection may overtake the end of a large one.
    const isOvertaken = size > SMALL && one.evidence.beginningOfEnd(one.connection) < Infinity;
    if (isLost && one.isGood && !one.isCrossed && !isOvertaken) yield 'a good answer was cut short';
  },

  function* tunnelsItsBytes(call, { isUndisturbed }) {
    if (!call.tunnel || call.answer !== call.id) return;
    const { isRight, isWhole, received } = call.tunnel;
    if (!isRight) yield 'its tunnel changes bytes';
    if (isUndisturbed && !isWhole)
      yield `its tunnel ended after ${received} bytes of ${call.plan.tunnel.size}`;
  },

  function* arrivesWhole({ id, plan }, { evidence }) {
    const events = evidence.ofType('whole', 'part').filter((event) => event.id === id);
    if (events.length === 0) return;
    const body = plan.body ? bytesOf(plan) : Buffer.alloc(0);
    for (const event of events) {
      const due = event.type === 'whole' ? body : body.subarray(0, event.length);
      if (event.length !== due.length) yield `${event.length} bytes of its body came, of ${due.length}`;
      else if (event.hash !== sha256(due)) yield 'its body came with other bytes';
      if (event.type === 'whole' && plan.body?.trailers && event.trailers?.['x-last'] !== id)
        yield 'its trailer is lost';
    }
  },

  function* isSavedWherePossible(call, one) {
    const { error, came, attempts, isReused, end } = one;
    if (!one.isUndisturbed || !error || call.responses > 0) return;
    if (one.isQueueFailure || one.isRefused) return;
    const { plan } = call;
    // A byte of an answer may have come, or all of it to one that does not look at it.
    if (plan.read.way === 'dump' && error.connection?.bytesRead > 0) return;
    if (isUpset(plan) || error.code.startsWith('HPE')) return;
    if (isReused && one.isRepeatable && isKept(call)) yield 'a failure that could have been repaired';
    if (isReused && came === 0 && end < call.at && !one.isBehindForged)
      yield 'sent on a connection that was known to be dead';
    if (!isReused && attempts === 1 && came > 0 && one.isGood) yield 'failed on a good fresh connection';
  },
];

/** Whether a request on this connection was to become a tunnel. */
function hasSwitch(number, evidence) {
  return evidence
    .ofType('request')
    .some(({ connection, action }) => connection === number && action === 'switch');
}

/** Whether the server ends its connection by itself, without an answer or within it. */
function isUpset({ acts: [act], answer, body }) {
  return DEATHS.includes(act) || answer.stop !== undefined || act.includes('@') || body?.way === 'expect';
}

/** Whether it is kept to be sent again. */
function isKept({ plan, request }) {
  const { maxReplayBytes = MAX_REPLAY } = request.agent.options;
  return HEAD + (plan.body ? bytesOf(plan).length : 0) < maxReplayBytes;
}

/** What the server sends of itself where nobody has asked for anything. */
const UNASKED = ['forge', 'timeout'];

/**
 * Whether the call got the answer of one that got that of another … that got a forged one or a 408. What one has got that
 * did not listen, or gave up, nobody knows: it may be what was sent before it on its connection.
 */
function isDisplaced({ answer, interim }, byId, evidence) {
  const seen = new Set();
  const next = [answer, ...interim].map((id) => byId.get(id));
  while (next.length > 0) {
    const other = next.pop();
    if (other === undefined || seen.has(other)) continue;
    if (other.answer === 'forged' || other.status === 408) return true;
    const connections = evidence.arrivals(other.id).map(({ connection }) => connection);
    const mayHaveCrossed = ({ connection, action }) =>
      connections.includes(connection) && UNASKED.includes(action);
    if (other.responses === 0 && evidence.ofType('ending').some(mayHaveCrossed)) return true;
    seen.add(other);
    next.push(byId.get(other.answer));
  }
  return false;
}

function sha256(bytes) {
  return crypto.createHash('sha256').update(bytes).digest('hex');
}

module.exports = { RULES };
