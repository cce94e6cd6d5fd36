'use strict';

// What an agent's connections have read and nobody has taken is bounded for all of them together. Whatever the
// others hold, each may read 64 KiB ahead: so a response that is read comes whole.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { HttpAgent } = require('..');
const { httpServer, seeingAgent } = require('./helpers/lane-server');

const KiB = 1024;
const GUARANTEED = 64 * KiB;
const SIZE = 4096 * KiB;
const options = { timeout: 60_000 };

const body = Buffer.alloc(SIZE, 'what nobody reads ');

function open(port, agent) {
  const request = http.get({ host: '127.0.0.1', port, agent });
  return once(request, 'response').then(([response]) => response);
}

async function read(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Bytes that the sockets have and the responses have not taken. */
const unread = (responses) => responses.map(({ socket }) => socket.readableLength);
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/** Resolves when no socket has got anything for a while, in turns of the loop. */
async function standstill(responses) {
  let last = -1;
  for (let looks = 0; looks < 30; looks++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const now = sum(responses.map(({ socket }) => socket.bytesRead));
    if (now !== last) [last, looks] = [now, 0];
  }
}

for (const [maxBufferedBytes, title] of [
  [512 * KiB, 'the bound is shared'],
  [0, 'nothing but what is guaranteed'],
]) {
  test(`many responses that nobody reads: ${title}`, options, async (t) => {
    const server = await httpServer(t, (req, res) => res.end(body));
    const agent = seeingAgent(t, HttpAgent, { maxBufferedBytes });
    const paused = await Promise.all(Array.from({ length: 16 }, () => open(server.port, agent)));
    await standstill(paused);
    const held = unread(paused);
    // A stream counts as taken what it has buffered below its mark.
    const { readableHighWaterMark } = paused[0].socket;
    const most = maxBufferedBytes + paused.length * (GUARANTEED + readableHighWaterMark);
    assert.ok(sum(held) <= most, `${sum(held)} bytes, more than ${most}`);
    const largest = Math.max(GUARANTEED, Math.min(maxBufferedBytes, 256 * KiB));
    assert.ok(Math.max(...held) <= largest + readableHighWaterMark);

    // One more, which is read while the others are not, and then these.
    assert.ok((await read(await open(server.port, agent))).equals(body));
    for (const response of paused) assert.ok((await read(response)).equals(body));
    assert.ok((await read(await open(server.port, agent))).equals(body));
  });
}

test('a response that is given up makes room for others', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end(body));
  const agent = seeingAgent(t, HttpAgent, { maxBufferedBytes: 256 * KiB });
  const alone = async () => {
    const response = await open(server.port, agent);
    const { socket } = response;
    // More than what is guaranteed: the room is there.
    while (socket.readableLength <= GUARANTEED) await new Promise(setImmediate);
    response.destroy();
    await once(socket, 'close');
  };
  for (let round = 0; round < 5; round++) await alone();
});

test('each agent has a bound of its own', options, async (t) => {
  const server = await httpServer(t, (req, res) => res.end(body));
  for (let count = 0; count < 3; count++) {
    const agent = seeingAgent(t, HttpAgent, { maxBufferedBytes: 256 * KiB });
    const { socket } = await open(server.port, agent);
    while (socket.readableLength <= GUARANTEED) await new Promise(setImmediate);
  }
});
