'use strict';

// A program whose own work makes each turn of the event loop long gets what has come within a few turns all the same.

const assert = require('node:assert/strict');
const http = require('node:http');
const { test } = require('node:test');

const { HttpAgent } = require('..');
const { httpServer } = require('./helpers/lane-server');

const REQUESTS = 50;
const timeout = 60_000;

/** Computes for so many ms. */
function compute(ms) {
  for (const start = performance.now(); performance.now() - start < ms;);
}

for (const Agent of [http.Agent, HttpAgent]) {
  test(`${Agent.name}: responses do not wait for a turn each`, { timeout }, async (t) => {
    const waiting = [];
    const { port } = await httpServer(t, (request, response) => {
      waiting.push(response);
      if (waiting.length < REQUESTS) return;
      for (const each of waiting.splice(0)) each.end('ok');
      spin();
    });
    const agent = new Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    let turns = 0;
    let isOver = false;
    function spin() {
      if (isOver) return;
      turns++;
      compute(20);
      setImmediate(spin);
    }
    const get = () =>
      new Promise((resolve, reject) => {
        const onResponse = (response) => {
          compute(1);
          response.resume().on('end', resolve);
        };
        http.get({ host: '127.0.0.1', port, agent }, onResponse).on('error', reject);
      });
    await Promise.all(Array.from({ length: REQUESTS }, get));
    isOver = true;

    // With a turn for each it is fifty.
    assert.ok(turns < REQUESTS / 2, `${turns} turns`);
  });
}
