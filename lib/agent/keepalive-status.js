'use strict';

// What agentkeepalive tells of an agent (getCurrentStatus(), statusChanged and the counters), for those who
// watch it: the same names and the same meanings.

const kStatus = Symbol('status');

/** Sockets made, not made, closed, closed by an error and timed out; requests that have given their socket back. */
const COUNTERS = [
  'createSocketCount',
  'createSocketErrorCount',
  'closeSocketCount',
  'errorSocketCount',
  'timeoutSocketCount',
  'requestCount',
];

/** Begins to count. */
function begin(agent) {
  const zero = Object.fromEntries(COUNTERS.map((name) => [name, 0]));
  agent[kStatus] = { now: zero, looked: { ...zero } };
}

function count(agent, name) {
  agent[kStatus].now[name]++;
}

/** The same of the one that is counted with each request. */
function countRequest(agent) {
  agent[kStatus].now.requestCount++;
}

/** Adds the members to the prototype of an agent. */
function define(prototype) {
  for (const name of COUNTERS) {
    defineReading(prototype, name, function () {
      return this[kStatus].now[name];
    });
  }
  defineReading(prototype, 'statusChanged', function () {
    const { now, looked } = this[kStatus];
    this[kStatus].looked = { ...now };
    return COUNTERS.some((name) => now[name] !== looked[name]);
  });
  Object.defineProperty(prototype, 'getCurrentStatus', {
    value: function getCurrentStatus() {
      const { freeSockets, sockets, requests } = this;
      return {
        ...this[kStatus].now,
        freeSockets: lengths(freeSockets),
        sockets: lengths(sockets),
        requests: lengths(requests),
      };
    },
    writable: true,
    configurable: true,
    enumerable: false,
  });
}

/** A subclass may have a member of that name for what it counts itself, as it may with http.Agent. */
function defineReading(prototype, name, get) {
  const set = function (value) {
    Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true });
  };
  Object.defineProperty(prototype, name, { get, set, enumerable: false, configurable: true });
}

function lengths(lists) {
  return Object.fromEntries(Object.entries(lists).map(([name, { length }]) => [name, length]));
}

module.exports = { begin, count, countRequest, define };
