'use strict';

// A process that goes through many origins may meet many servers that rustls refuses, each a reason of its own for a
// warning. It must not print, nor remember, one for each.

const assert = require('node:assert');
const { once } = require('node:events');
const { test } = require('node:test');
const { warnNodeSocket } = require('../lib/fallback');

test('of more reasons than a log has room for only that is told', { timeout: 10_000 }, async (t) => {
  const messages = [];
  const onWarning = ({ message }) => messages.push(message);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const names = Array.from({ length: 1000 }, (_, i) => `a server at host-${i}.test:443`);
  for (const name of [...names, ...names]) warnNodeSocket(name);
  // Behind all of them.
  process.emitWarning('the end');
  while (messages.at(-1) !== 'the end') await once(process, 'warning');
  messages.pop();
  const last = messages.pop();
  assert.match(last, /^connections for more reasons than can be told /);
  assert.ok(messages.length < 100);
  assert.deepStrictEqual(
    messages.map((message) => /with (.*) use/.exec(message)[1]),
    names.slice(0, messages.length),
  );
});
