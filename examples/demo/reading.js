'use strict';

// The table in a few sentences. Every one is computed from the figures, whichever way they turn out.

/** "offloop 0, http.Agent 12 and agentkeepalive 13" */
function each(columns, figure) {
  const parts = columns.map((column) => `${column.name} ${figure(column)}`);
  return parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}` : parts[0];
}

/** Where offloop's figure stands among the others': better, worse or the same; '' if there is nothing to compare. */
function standing(columns, figure, less = true) {
  const own = columns.find((column) => column.name === 'offloop');
  const others = columns.filter((column) => column.name !== 'offloop');
  if (!own || others.length === 0) return '';
  const worseThan = (column) => (less ? figure(own) > figure(column) : figure(own) < figure(column));
  const betterThan = (column) => (less ? figure(own) < figure(column) : figure(own) > figure(column));
  const names = (list) => list.map((column) => column.name).join(' and ');
  const worse = others.filter(worseThan);
  const better = others.filter(betterThan);
  if (worse.length) return `offloop is worse than ${names(worse)} here`;
  if (better.length) return `offloop is better than ${names(better)} here`;
  return 'offloop makes no difference here';
}

function failures(columns) {
  const judgement = standing(columns, (c) => c.avoidable);
  return `Failures that were avoidable: ${each(columns, (c) => `${c.avoidable} of ${c.requests}`)}${clause(judgement)}.`;
}

function others(columns) {
  const affected = columns.filter((c) => c.other > 0);
  if (affected.length === 0) return [];
  const wrong = columns.filter((c) => c.wrong > 0);
  const mixed = wrong.length
    ? `; of these, answers that belong to another request: ${each(wrong, (c) => c.wrong)}`
    : '';
  return [`Failures that no close explains: ${each(affected, (c) => c.other)}${mixed}.`];
}

function inFlight(columns) {
  const told = each(columns, (c) => `${c.rescuedGet} of ${c.unansweredGet}`);
  const judgement = standing(columns, (c) => share(c.rescuedGet, c.unansweredGet), false);
  return `GETs in flight that the server closed on, answered all the same: ${told}${clause(judgement)}.`;
}

function posts(columns) {
  const twice = columns.filter((c) => c.duplicatePost > 0);
  const seen = twice.length
    ? `the server saw POSTs twice: ${each(twice, (c) => c.duplicatePost)}`
    : 'the server saw no POST twice';
  const told = each(columns, (c) => c.crossedPost);
  return `POSTs that failed by a close on the wire, each may have run or not: ${told}; ${seen}.`;
}

function idle(columns) {
  const judgement = standing(columns, (c) => share(c.idleOnTime, c.idleDue), false);
  return `Idle limits kept while JavaScript was blocked: ${each(columns, (c) => `${c.idleOnTime} of ${c.idleDue}`)}${clause(judgement)}.`;
}

function cost(columns) {
  const told = each(columns, (c) => (c.p99 === undefined ? '-' : `${c.p99.toFixed(1)} ms`));
  const judgement = standing(columns, (c) => Number((c.p99 ?? 0).toFixed(1)));
  const opened =
    columns[0].connections === undefined ? '' : ` Connections: ${each(columns, (c) => c.connections)}.`;
  return `Price, p99 outside stalls: ${told}${clause(judgement)}.${opened}`;
}

const clause = (text) => (text ? `; ${text}` : '');
const share = (part, whole) => (whole === 0 ? 0 : part / whole);

function list(sentences) {
  return ['How to read it:', ...sentences.map((sentence) => `- ${sentence}`)].join('\n');
}

/** After a run against the demo's own server. */
function readOwn(columns) {
  return list([
    failures(columns),
    ...others(columns),
    inFlight(columns),
    posts(columns),
    idle(columns),
    cost(columns),
  ]);
}

/** After a run against a user's server. */
function readUrl(columns, { stall }) {
  const failed = columns.reduce((sum, c) => sum + c.avoidable + c.crossedGet + c.crossedPost, 0);
  const quiet =
    `No request failed by a close or was sent again: this server keeps idle connections longer than ${stall} ms, ` +
    'or it closes after each answer, or its Keep-Alive header warned the agents. Try a longer --stall.';
  const resent = columns.filter((c) => c.retried > 0);
  const crossed = each(columns, (c) => `${c.crossedGet} + ${c.crossedPost}`);
  return list([
    failed + resent.length === 0 ? quiet : failures(columns),
    ...(failed ? [`Failures by a close that crossed the request, GET + POST: ${crossed}.`] : []),
    ...others(columns),
    ...(resent.length
      ? [
          `Sent again by the agent itself: ${each(resent, (c) => `${c.retried} (answered: ${c.retriedAnswered})`)}.`,
        ]
      : []),
    cost(columns),
  ]);
}

module.exports = { readOwn, readUrl };
