'use strict';

// Certificates of all kinds, sound and odd, against https.Agent: what it accepts is accepted, what it refuses
// is refused, with the same error. rustls is stricter than OpenSSL in some of these cases and more permissive
// in others, so none of them may be left to it alone.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const certificates = require('./helpers/odd-certificates');
const extensions = require('./helpers/odd-extensions');
const { asHttps, identity, outcome, tlsServer } = require('./helpers/tls-oracle');

/** One word for what came of a request. */
function verdict({ thrown, error, authorizationError }) {
  return (thrown ?? error)?.code ?? authorizationError ?? 'accepted';
}

for (const { name, chain, ca, expected, ask } of [...certificates, ...extensions]) {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    for (const rejectUnauthorized of [true, false]) {
      const title = `${name} (${version}, rejectUnauthorized: ${rejectUnauthorized})`;
      test(title, { timeout: 30_000 }, async (t) => {
        const server = await tlsServer(t, identity(...chain));
        const trusted = ca && { ca: ca.map(({ cert }) => cert) };
        const limits = { minVersion: version, maxVersion: version };
        const seen = await asHttps(t, (make) => {
          const agent = make({ ...trusted, ...limits, rejectUnauthorized });
          return outcome(agent, { port: server.port, ...ask });
        });
        // So that a certificate that is odd in another way than was meant is found out.
        if (expected !== undefined) assert.equal(verdict(seen), expected[version] ?? expected);
        const isServed = seen.error === undefined && seen.thrown === undefined;
        assert.equal(seen.status, isServed ? 200 : undefined);
        if (rejectUnauthorized) assert.equal(isServed, verdict(seen) === 'accepted');
      });
    }
  }
}
