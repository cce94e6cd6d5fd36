'use strict';

// Responses that end before their time. Over TLS there are two ends, close_notify and FIN: a body without a
// length that is cut off by somebody on the way ends in the second without the first.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { asHttps, describeError } = require('./helpers/tls-oracle');
const { send, startServer } = require('./helpers/blocked');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const { key, cert } = root.server(['ip:127.0.0.1']);

const ENDS = {
  'close_notify and FIN': 'half',
  'FIN alone': 'fin',
  'close_notify alone': 'notify',
  'a reset': 'reset',
  'a fatal alert': 'alert',
  'bytes that are not TLS': 'plain',
};
/** How much of the response there is by then, and how it is written. */
const MOMENTS = { until: 'a body without a length', cut: 'a body that is too short' };

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  for (const [moment, what] of Object.entries(MOMENTS)) {
    for (const [end, action] of Object.entries(ENDS)) {
      for (const isReused of [false, true]) {
        const where = isReused ? 'reused' : 'new';
        test(`${what}, ended by ${end}, on a ${where} connection (${maxVersion})`, { timeout }, async (t) => {
          await asHttps(t, async (make) => {
            const server = await startServer(t, { identities: { right: { key, cert } }, maxVersion });
            const agent = make({ ca: root.cert, maxSockets: 1 });
            if (isReused) await send(agent, server, { id: 'first' });
            const { status, body, error } = await send(agent, server, {
              id: 'it',
              act: `${moment}-${action}`,
            });
            const next = await send(agent, server, { id: 'next', method: 'POST' });
            assert.equal(next.body, 'ok:next');
            // Nothing is sent again after a byte of the response.
            const came = server.arrivals('it');
            const connections = server.events('accept').length;
            const described = describeError(error);
            // What is wrong with such bytes is a matter of taste.
            if (action === 'plain' && /^ERR_SSL_/.test(error?.code))
              described.code = described.reason = 'ERR_SSL';
            return { status, body, error: described, came, connections };
          });
        });
      }
    }
  }
}
