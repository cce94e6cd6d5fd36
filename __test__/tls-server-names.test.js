'use strict';

// The name that goes out in the handshake, and the name that the certificate is checked for, against
// https.Agent: servername, else the Host header's name, else the host; an address is no name.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { asHttps, identity, outcome, tlsServer } = require('./helpers/tls-oracle');
const { authority } = require('./helpers/x509');

const timeout = 30_000;
const root = authority('Root');
const leaf = root.server(['dns:a.test', 'dns:*.b.test', 'dns:localhost', 'ip:127.0.0.1']);

const lookup = (name, options, callback) => {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
};
const named = (host, rest) => ({ host, lookup, ...rest });

/** Options of the request, options of the agent, and the name that the server hears; null: none. */
const CASES = {
  'an address': [{}, {}, null],
  'a name': [named('a.test'), {}, 'a.test'],
  'a name that the system resolves': [{ host: 'localhost', family: 4 }, {}, 'localhost'],
  'a hostname': [{ hostname: 'a.test', host: undefined, lookup }, {}, 'a.test'],
  'a name in capitals': [named('A.TEST'), {}, 'A.TEST'],
  'a name with a dot behind it': [named('a.test.'), {}, 'a.test.'],
  'a Host header on an address': [{ headers: { Host: 'a.test' } }, {}, 'a.test'],
  'a Host header with a port': [{ headers: { Host: 'a.test:8443' } }, {}, 'a.test'],
  'a Host header on a name': [named('x.b.test', { headers: { Host: 'a.test' } }), {}, 'a.test'],
  'a Host header that is an address': [named('a.test', { headers: { Host: '127.0.0.1' } }), {}, null],
  'a Host header with an address and a port': [
    named('a.test', { headers: { host: '127.0.0.1:1' } }),
    {},
    null,
  ],
  'a Host header with an address of IPv6': [named('a.test', { headers: { host: '[::1]:1' } }), {}, null],
  'an empty Host header': [named('a.test', { headers: { host: '' } }), {}, 'a.test'],
  'a Host header of another name': [named('a.test', { headers: { Host: 'c.test' } }), {}, undefined],
  'Host in an array of headers': [named('x.b.test', { headers: ['Host', 'a.test'] }), {}, undefined],
  'a servername on an address': [{ servername: 'a.test' }, {}, 'a.test'],
  'a servername on a name': [named('a.test', { servername: 'x.b.test' }), {}, 'x.b.test'],
  'a servername and a Host header': [{ servername: 'a.test', headers: { Host: 'x.b.test' } }, {}, 'a.test'],
  'an empty servername': [named('a.test', { servername: '' }), {}, null],
  'an empty servername on an address': [{ servername: '' }, {}, null],
  'a servername of another name': [{ servername: 'c.test' }, {}, undefined],
  'the agent has one': [{}, { servername: 'a.test' }, 'a.test'],
  'the agent has one, the request another': [{ servername: 'x.b.test' }, { servername: 'a.test' }, 'a.test'],
  'the agent has one, Host another': [{ headers: { Host: 'x.b.test' } }, { servername: 'a.test' }, 'a.test'],
  'an international name': [named('m\u00fcnchen.b.test'), {}, undefined],
};

for (const [what, [ask, options, expected]] of Object.entries(CASES)) {
  test(`${what}: ${expected === undefined ? 'as with https.Agent' : expected}`, { timeout }, async (t) => {
    const server = await tlsServer(t, identity(leaf));
    const seen = await asHttps(t, async (make) => {
      const agent = make({ ca: root.cert, ...options });
      const first = await outcome(agent, { port: server.port, ...ask });
      const names = Object.keys(agent.freeSockets).map((name) => name.replace(/:\d+:/, ':port:'));
      return { ...first, names };
    });
    if (expected !== undefined) assert.equal(JSON.parse(seen.body).servername, expected);
  });

  test(`${what}, not verified`, { timeout }, async (t) => {
    const server = await tlsServer(t, identity(leaf));
    await asHttps(t, (make) => {
      const agent = make({ rejectUnauthorized: false, ...options });
      return outcome(agent, { port: server.port, ...ask });
    });
  });
}

test('the name that checkServerIdentity is called with', { timeout }, async (t) => {
  const server = await tlsServer(t, identity(leaf));
  for (const [what, [ask, options]] of Object.entries(CASES)) {
    await asHttps(t, async (make) => {
      const calls = [];
      const checkServerIdentity = (name, cert) => {
        calls.push([name, cert.fingerprint256, cert.issuerCertificate?.fingerprint256]);
      };
      const agent = make({ ca: root.cert, checkServerIdentity, ...options });
      const { error } = await outcome(agent, { port: server.port, ...ask });
      assert.equal(error, undefined, what);
      assert.equal(calls.length, 1, what);
      return calls;
    });
  }
});
