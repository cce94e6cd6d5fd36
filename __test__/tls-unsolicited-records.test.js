'use strict';

// Records of TLS that come on an idle connection. An alert, the end of the stream, or bytes that are no record
// end it, while JavaScript is blocked too; session tickets and new keys do not.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { HttpsAgent } = require('..');
const { block, blockUntil, send, startServer, until, warm } = require('./helpers/blocked');
const { identity } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const right = identity(root.server(['ip:127.0.0.1']));

async function start(t, maxVersion, options) {
  const server = await startServer(t, { identities: { right }, maxVersion });
  const agent = new HttpsAgent({ ca: root.cert, freeSocketTimeout: 0, maxSockets: 1, ...options });
  t.after(() => agent.destroy());
  return { server, agent };
}

const ENDING = {
  alert: 'a fatal alert',
  notify: 'close_notify without a FIN',
  fin: 'a FIN without close_notify',
  plain: 'bytes that are no record',
};
const KEEPING = { ticket: 'a session ticket', 'key-update': 'new keys' };

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  for (const [action, what] of Object.entries(ENDING)) {
    for (const blocked of [true, false]) {
      const when = blocked ? 'while JavaScript is blocked' : 'while JavaScript runs';
      test(`${what} ${when} (${maxVersion})`, { timeout }, async (t) => {
        for (const method of ['GET', 'POST']) {
          const { server, agent } = await start(t, maxVersion);
          await warm(agent, server);
          if (blocked) {
            server.post({ end: action });
            assert.ok(
              blockUntil(() => server.events('client-fin').length + server.events('gone').length > 0),
            );
          } else {
            await server.command({ end: action });
            await until(() => agent.totalSocketCount === 0);
          }
          const { error, body, request } = await send(agent, server, { id: 'it', method });
          assert.deepEqual([error, body, request.attempts], [undefined, 'ok:it', 1]);
          assert.equal(server.arrivals('it'), 1);
          assert.equal(server.events('request', 'it')[0].connection, 2);
        }
      });
    }
  }

  test(`a warning on an idle connection harms nobody (${maxVersion})`, { timeout }, async (t) => {
    const { server, agent } = await start(t, maxVersion);
    await warm(agent, server);
    await server.command({ end: 'warning' });
    const { error, body } = await send(agent, server, { id: 'it', method: 'POST' });
    assert.deepEqual([error, body, server.arrivals('it')], [undefined, 'ok:it', 1]);
  });

  test(`close_notify is sent when a connection is given up (${maxVersion})`, { timeout }, async (t) => {
    const { server, agent } = await start(t, maxVersion, { freeSocketTimeout: 100 });
    await warm(agent, server);
    assert.ok(
      blockUntil(() => server.events('client-alert').length === 1),
      'by the idle limit',
    );
    await warm(agent, server);
    agent.destroy();
    await until(() => server.events('client-alert').length === 2);
  });
}

for (const [action, what] of Object.entries(KEEPING)) {
  for (const blocked of [true, false]) {
    const when = blocked ? 'while JavaScript is blocked' : 'while JavaScript runs';
    test(`${what} ${when}: the connection is kept`, { timeout }, async (t) => {
      const { server, agent } = await start(t, 'TLSv1.3');
      for (let round = 0; round < 3; round++) {
        await warm(agent, server);
        const done = round + 1;
        if (blocked) {
          server.post({ end: action });
          assert.ok(blockUntil(() => server.events('closed').length === done));
          block(20);
        } else {
          await server.command({ end: action });
          await until(() => server.events('closed').length === done);
        }
        const { error, body } = await send(agent, server, { id: `it-${round}`, method: 'POST' });
        assert.deepEqual([error, body], [undefined, `ok:it-${round}`]);
      }
      assert.equal(server.events('accept').length, 1);
    });

    test(`${what} ${when}, and bytes behind it: the connection is not kept`, { timeout }, async (t) => {
      const { server, agent } = await start(t, 'TLSv1.3');
      await warm(agent, server);
      for (const end of [action, 'forge']) server.post({ end });
      if (blocked) assert.ok(blockUntil(() => server.events('closed').length === 2));
      else await until(() => agent.totalSocketCount === 0);
      const { error, body } = await send(agent, server, { id: 'it', method: 'POST' });
      assert.deepEqual([error, body], [undefined, 'ok:it']);
      assert.equal(server.events('request', 'it')[0].connection, 2);
    });
  }
}
