'use strict';

// Judges a round of the stress run by its rules (rules.js): here is what these lean on, and what is told of a violation.

const { now } = require('../blocked');
const { IDEMPOTENT } = require('./plan');
const { HOLE, REFUSING } = require('./plan-request');
const { RULES } = require('./rules');

/** A request that is destroyed at once leaves its connection to the next one before it stands. */
const LEAVES_CONNECTING = Number(process.versions.node.split('.')[0]) >= 24;

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
    // What sees whether a peer is dead comes beside the connection in doubt, by design.
    if (beyond === undefined || [...beyond, connection].some((number) => evidence.isProbe(number))) continue;
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
    // One that has ended before it was sent leaves a connection that the server knows no request of, for the next one.
    const isItsOwn = ({ plan }) => plan.agent === call.plan.agent && plan.host === call.plan.host;
    const left = unsent.filter(isItsOwn);
    const one = { ...facts(call, agents[call.plan.agent], evidence, left), byId, retried, evidence };
    one.isBehindForged = crossed.has(evidence.connectionOf(call));
    one.mayBeIdle = left.length > 0;
    for (const rule of RULES)
      for (const text of rule(call, one)) complain(`${text}\n    ${describe(call, one)}`);
  }
}

/** What the rules lean on. `left`: the calls whose connections it may have got, never used. */
function facts(call, agent, evidence, left) {
  const { plan, request, errors } = call;
  const arrivals = evidence.arrivals(call.id);
  const [error] = errors;
  // What the server says counts: reusedSocket tells nothing of a request that has waited.
  const wasReused = arrivals.length > 0 ? arrivals[0].nth > 1 : error?.connection?.served > 0;
  const connection = arrivals[0]?.connection ?? evidence.connectionOf(call);
  const retry = retryOf(plan, agent);
  const isRepeatable = retry.methods.includes(plan.method) || (plan.key && retry.headers.length > 0);
  const connecting = LEAVES_CONNECTING ? left.filter(({ isAborted }) => isAborted) : [];
  const since = Math.min(call.at, ...connecting.map(({ at }) => at));
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
    isGood: /^(answer|switch)(\/|$)/.test(plan.acts[0]) && plan.answer.stop === undefined,
    /** The server had ended the connection before it could answer. */
    isCrossed: answered === undefined || evidence.beginningOfEnd(connection) <= answered.at,
    /** Whether a connect to where it leads may fail. */
    isRefused: [HOLE, REFUSING].includes(plan.host) || evidence.wasRefusing(plan.host, since, call.over),
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

/** How a call ended, in a word. */
function outcomeOf({ isAborted, errors: [error], isWhole, status, responses, tunnel }) {
  if (isAborted) return 'aborted';
  if (error) return error.code ?? error.name;
  if (responses === 0) return 'dumped';
  return (tunnel ?? { isWhole }).isWhole ? `${status}` : 'cut short';
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

module.exports = { LEAVES_CONNECTING, judge, outcomeOf };
