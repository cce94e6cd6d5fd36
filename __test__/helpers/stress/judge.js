'use strict';

// The rules of a stress run: what must hold for each request, by what its caller and the server have seen.

const crypto = require('node:crypto');
const { hasBody } = require('../composed-answer');
const { now } = require('../blocked');
const { bytesOf } = require('./body');
const { DEATHS, IDEMPOTENT } = require('./plan');

/** Bytes of the head of a request, at most. */
const HEAD = 1500;
/** Bytes of an answer that is on its way in one go. */
const SMALL = 2000;
const MAX_REPLAY = 65_536;

/**
 * Judges the calls of a round. `agents`: the plans of its agents; `retried`: the requests of which the channel
 * `offloop:request:retried` has told; `complain` is called with each violation.
 */
function judge(calls, agents, evidence, retried, complain) {
  for (const { connection, text } of evidence.ofType('stray'))
    complain(
      `connection ${connection} got what is no request, ${JSON.stringify(text)}: ${evidence.lifeOf(connection)}`,
    );
  for (const { connection, beyond } of evidence.ofType('accept')) {
    if (beyond === undefined) continue;
    const lives = [...beyond, connection].map((number) => `\n    ${evidence.lifeOf(number)}`);
    complain(`connection ${connection} was one too many${lives.join('')}`);
  }
  // Where a forged answer has crossed a request on the wire it was the answer to that, and the connection goes on.
  const byId = new Map(calls.map((call) => [call.id, call]));
  const unsent = calls.filter((call) => evidence.arrivals(call.id).length === 0);
  const crossed = new Set(
    calls.filter(({ answer }) => answer === 'forged').map((one) => evidence.connectionOf(one)),
  );
  for (const call of calls) {
    const one = { ...facts(call, agents[call.plan.agent], evidence), crossed, byId, retried, evidence };
    // One that has ended before it was sent leaves a connection that is idle, and that the server knows no request of.
    one.mayBeIdle = unsent.some(({ plan }) => plan.agent === call.plan.agent && plan.host === call.plan.host);
    for (const rule of RULES)
      for (const text of rule(call, one)) complain(`${text}\n    ${describe(call, one)}`);
  }
}

/** What the rules lean on. */
function facts(call, agent, evidence) {
  const { plan, request, errors } = call;
  const arrivals = evidence.arrivals(call.id);
  const [error] = errors;
  // What the server says counts: reusedSocket tells nothing of a request that has waited.
  const wasReused = arrivals.length > 0 ? arrivals[0].nth > 1 : error?.connection?.served > 0;
  const connection = arrivals[0]?.connection ?? evidence.connectionOf(call);
  const retry = retryOf(plan, agent);
  const isRepeatable = retry.methods.includes(plan.method) || (plan.key && retry.headers.length > 0);
  const [answered] = evidence.ofType('answered').filter(({ id }) => id === call.id);
  return {
    arrivals,
    error,
    came: arrivals.length,
    attempts: request.attempts,
    isReused: wasReused && request.attempts === 1,
    connection,
    end: evidence.endOf(connection),
    isRepeatable,
    /** Where there is evidence that it has not come, any may be. */
    mayBeRepeated: isRepeatable || retry.unacknowledged === true,
    /** Whether neither its caller nor the end of its agent has a part in what became of it. */
    isUndisturbed: !call.isAborted && !call.isCut && plan.deeds.every(({ what }) => what !== 'throw'),
    /** Whether the server answers it, as far as nothing comes between. */
    isGood: /^answer(\/|$)/.test(plan.acts[0]) && plan.answer.stop === undefined,
    /** The server had ended the connection before it could answer. */
    isCrossed: answered === undefined || evidence.beginningOfEnd(connection) <= answered.at,
    isQueueFailure: ['ERR_QUEUE_FULL', 'ERR_QUEUE_TIMEOUT'].includes(error?.code),
  };
}

/** The option `retry` that holds for a request, in its long form. */
function retryOf(plan, agent) {
  const retry = plan.retry ?? agent.options.retry;
  return retry === false
    ? { methods: [], headers: [] }
    : { methods: IDEMPOTENT, headers: ['Idempotency-Key'], ...retry };
}

/** Each yields what is wrong. */
const RULES = [
  function* hasOneOutcome({ isSettled, closes, responses, errors, plan }, { isUndisturbed, isGood, error }) {
    if (!isSettled) yield `not settled, with ${responses} responses`;
    // Where the connection goes between an answer and the end of its reading, or Node destroys it for what came behind
    // the answer, it tells twice, with http.Agent too.
    const isReadAtOnce =
      isUndisturbed && isGood && !plan.body && plan.read.way === 'flow' && !plan.answer.surplus;
    if (closes > 1 && isReadAtOnce) yield `settled ${closes} times`;
    // Who destroys it with an error while it tells of another may hear of both.
    if (responses > 1 || errors.length > (isUndisturbed ? 1 : 2))
      yield `${responses} responses, ${errors.length} errors`;
    if (isUndisturbed && responses === 0 && !error && plan.read.way !== 'dump')
      yield 'neither response nor error';
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
    if (plan.acts[0].startsWith('answer') && !isCrossed && !['close', 'reset'].includes(plan.answer.end))
      yield 'sent again although it was answered';
    if (evidence.beginningOfEnd(first.connection) === Infinity && !isUpset(plan))
      yield 'sent again without a loss';
  },

  function* isRepetitionSeen({ request }, { came, attempts, retried, isUndisturbed, isQueueFailure }) {
    if (came === 2 && attempts !== 2) yield 'a repetition that the caller does not see';
    // Of one that ends in the queue, and was sent ahead, the channel does not tell: it has no socket.
    const isTold = retried.has(request);
    const mustBeTold = isUndisturbed && !isQueueFailure;
    if (isTold ? attempts !== 2 : mustBeTold && attempts === 2)
      yield 'the channel of repetitions and request.attempts differ';
  },

  function* hasTrueFacts(call, { error, came, attempts, isUndisturbed, isQueueFailure }) {
    const { connection } = error ?? {};
    if (error === undefined) return;
    if (connection === undefined) {
      yield 'an error without facts';
      return;
    }
    if (connection.bytesWritten === 0 && attempts === 1 && came > 0)
      yield 'came although no byte was written';
    if (isUndisturbed && !isQueueFailure && came === 0 && connection.served === 0)
      yield 'failed on a fresh connection before it came';
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

  function* getsItWhole({ id, answer, plan, isRight, isWhole, received, responses, status }, one) {
    if (answer !== id) return;
    if (!isRight) yield 'bytes of its answer are wrong';
    const { stop, surplus, framing, size } = plan.answer;
    // What is not whole cannot be told by who has only the end of the connection to go by.
    const isCut = stop !== undefined && framing !== 'close' && !surplus;
    const due = hasBody(plan.method, plan.answer) ? size : 0;
    if (status !== plan.answer.status) yield `status ${status}`;
    if (isWhole && isCut) yield 'a part passed for the whole';
    if (isWhole && stop === undefined && received !== due) yield `${received} bytes of ${due}`;
    if (received > due) yield `${received} bytes of ${due}`;
    const isLost = responses > 0 && !isWhole && one.isUndisturbed && plan.read.way !== 'leave';
    // An end of the idle connection may overtake the end of a large one.
    const isOvertaken = size > SMALL && one.evidence.beginningOfEnd(one.connection) < Infinity;
    if (isLost && one.isGood && !one.isCrossed && !isOvertaken) yield 'a good answer was cut short';
  },

  function* arrivesWhole({ id, plan }, { evidence }) {
    const body = plan.body ? bytesOf(plan) : Buffer.alloc(0);
    for (const event of evidence.ofType('whole', 'part')) {
      if (event.id !== id) continue;
      const due = event.type === 'whole' ? body : body.subarray(0, event.length);
      if (event.length !== due.length) yield `${event.length} bytes of its body came, of ${due.length}`;
      else if (event.hash !== sha256(due)) yield 'its body came with other bytes';
    }
  },

  function* isSavedWherePossible(call, one) {
    const { error, came, attempts, isReused, end, evidence } = one;
    if (!one.isUndisturbed || !error || call.responses > 0 || one.isQueueFailure) return;
    const { plan } = call;
    // A byte of an answer may have come, or all of it to one that does not look at it.
    if (plan.read.way === 'dump' && error.connection?.bytesRead > 0) return;
    if (isUpset(plan) || error.code.startsWith('HPE')) return;
    if (isReused && one.isRepeatable && isKept(call)) yield 'a failure that could have been repaired';
    if (isReused && came === 0 && end < call.at && !one.crossed.has(evidence.connectionOf(call)))
      yield 'sent on a connection that was known to be dead';
    if (!isReused && attempts === 1 && came > 0 && one.isGood) yield 'failed on a good fresh connection';
  },
];

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

/** How a call ended, in a word. */
function outcomeOf({ isAborted, errors: [error], isWhole, status, responses }) {
  if (isAborted) return 'aborted';
  if (error) return error.code ?? error.name;
  if (responses === 0) return 'dumped';
  return isWhole ? `${status}` : 'cut short';
}

/** A call, and all that is known of it. */
function describe(call, { came, attempts, evidence }) {
  const { plan, errors, isCut, thrown, localPort } = call;
  const [error] = errors;
  return [
    JSON.stringify(plan),
    `came ${came}, attempts ${attempts}, reused ${call.request.reusedSocket}, ${outcomeOf(call)}, cut ${isCut}, thrown ${thrown}`,
    `made at ${call.at.toFixed(1)}, judged at ${now().toFixed(1)}, port ${localPort}`,
    JSON.stringify({
      message: error?.message,
      code: error?.code,
      reason: error?.reason,
      connection: error?.connection,
    }),
    ...evidence.historyOf(call),
  ].join('\n    ');
}

module.exports = { judge, outcomeOf };
