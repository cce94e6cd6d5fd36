'use strict';

const { freeSocketTimeout, onTimeTolerance } = require('./settings');

/**
 * The figures of one agent: a column of the table.
 * @param {Map<object, string>} verdicts of the failed records
 * @param {object} [log] the server's, if it is ours
 */
function summarise(name, { records, stalls }, verdicts, log) {
  const failures = [...verdicts].map(([record, verdict]) => ({ record, verdict }));
  const count = (verdict, method) =>
    failures.filter((f) => f.verdict === verdict && (!method || f.record.method === method)).length;

  return {
    name,
    requests: records.length,
    answered: records.length - failures.length,
    avoidable: count('avoidable'),
    crossedGet: count('crossed', 'GET'),
    crossedPost: count('crossed', 'POST'),
    other: count('other'),
    wrong: records.filter((record) => record.wrong).length,
    byCode: countByCode(failures),
    errorStatuses: records.filter((record) => record.status >= 400).length,
    retriedAnswered: records.filter((record) => record.attempts > 1 && record.code === undefined).length,
    retried: records.filter((record) => record.attempts > 1).length,
    ...latencies(records, stalls),
    ...(log && serverFigures(records, stalls, log)),
  };
}

/** Code to its failures by verdict. */
function countByCode(failures) {
  const byCode = {};
  for (const { record, verdict } of failures) {
    byCode[record.code] ??= { avoidable: 0, crossed: 0, other: 0 };
    byCode[record.code][verdict] += 1;
  }
  return byCode;
}

// Of answered requests. One that was in flight while JavaScript was blocked measures the stall, not the agent.
function latencies(records, stalls) {
  const times = records
    .filter((record) => record.code === undefined)
    .filter((record) => !stalls.some((s) => s.start < record.doneAt && record.madeAt < s.end))
    .map((record) => record.doneAt - record.madeAt)
    .sort((a, b) => a - b);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** Nearest rank. */
function percentile(sorted, share) {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

function serverFigures(records, stalls, { connections, arrivals }) {
  const byId = new Map();
  for (const arrival of arrivals) {
    if (byId.has(arrival.id)) byId.get(arrival.id).push(arrival);
    else byId.set(arrival.id, [arrival]);
  }
  const again = [...byId.values()].flatMap((list) => list.slice(1));
  const unanswered = arrivals.filter((arrival) => arrival.unanswered);
  const answered = new Set(records.filter((record) => record.code === undefined).map((record) => record.id));
  const inStall = (time) => stalls.some((s) => s.start <= time && time <= s.end);

  return {
    connections: connections.length,
    duplicateGet: again.filter((arrival) => arrival.method === 'GET').length,
    duplicatePost: again.filter((arrival) => arrival.method === 'POST').length,
    retriesInStall: again.filter((arrival) => inStall(arrival.at)).length,
    retriesLater: again.filter((arrival) => !inStall(arrival.at)).length,
    unansweredGet: unanswered.filter((arrival) => arrival.method === 'GET').length,
    rescuedGet: unanswered.filter((arrival) => arrival.method === 'GET' && answered.has(arrival.id)).length,
    ...idleCloses(records, stalls, connections, arrivals),
  };
}

/**
 * Of the connections with an idle limit of the client's own that ran out in a stall: how many the client closed
 * on time, by the arrival of its FIN at the server.
 */
function idleCloses(records, stalls, connections, arrivals) {
  const limited = new Set(records.filter((record) => record.pool === 'limited').map((record) => record.id));
  let due = 0;
  let onTime = 0;
  for (const connection of connections) {
    const own = arrivals.filter(
      ({ port, at }) => port === connection.port && at >= connection.openedAt && !(at > connection.closedAt),
    );
    if (connection.lastAnswerAt === null || !own.some(({ id }) => limited.has(id))) continue;

    const deadline = connection.lastAnswerAt + freeSocketTimeout;
    const over = stalls.find(
      (s) => connection.lastAnswerAt < s.start && s.start < deadline && deadline < s.end,
    );
    // Closed before the stall: its limit did not run out in it.
    if (!over || connection.closedAt < over.start) continue;
    due += 1;
    if (connection.closedBy === 'client' && connection.closedAt <= deadline + onTimeTolerance) onTime += 1;
  }
  return { idleDue: due, idleOnTime: onTime };
}

module.exports = { summarise };
