'use strict';

// More cases for tls-odd-certificates.test.js: extensions that OpenSSL heeds and webpki does not, or the other
// way round. The fields are those of helpers/odd-certificates.js; `expected` is left out where versions of
// OpenSSL may differ.

const der = require('./der');
const { authority, extension } = require('./x509');

const NAME = 'service.test';
const NAMES = [`dns:${NAME}`];
const UNKNOWN = '1.3.6.1.4.1.55555.1';
const UNKNOWN_ISSUER = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE';

const root = authority('Root', { serial: 7 });
const alien = authority('Alien');

const cases = [];
function add(name, chain, ca, expected) {
  cases.push({ name, chain, ca, expected, ask: { servername: NAME } });
}

for (const usage of [['keyEncipherment'], ['keyAgreement'], ['digitalSignature', 'keyEncipherment']]) {
  // OpenSSL looks at it in the handshake of TLS 1.2, for ECDSA.
  const isLess = !usage.includes('digitalSignature');
  for (const key of ['P-256', 2048]) {
    const expected = isLess && key === 'P-256' ? { 'TLSv1.2': 'EPROTO', 'TLSv1.3': 'accepted' } : 'accepted';
    add(`key usage: ${key}, ${usage.join(' and ')}`, [root.server(NAMES, { key, usage })], [root], expected);
  }
}

function rooted(name, options, expected, expectedBelow = expected) {
  const own = authority(name, options);
  add(`extensions of the root: ${name}`, [own.server(NAMES)], [own], expected);
  const through = own.authority('Through');
  const chain = [through.server(NAMES), through];
  add(`extensions of the root: ${name}, and an intermediate`, chain, [own], expectedBelow);
}
rooted('an unknown one', { extensions: [extension(UNKNOWN, false, der.nothing())] }, 'accepted');
rooted('a critical one', { extensions: [extension(UNKNOWN, true, der.nothing())] }, 'UNSPECIFIED');
rooted('a path length of 0', { pathLength: 0 }, 'accepted', 'PATH_LENGTH_EXCEEDED');
rooted('no key usage', { usage: undefined }, 'accepted');
rooted('no identifiers', { identifiers: false }, 'accepted');

{
  const tight = authority('Twice', { pathLength: 0 });
  const wide = authority('Twice', { key: tight.privateKey });
  const longer = authority('Twice', { key: tight.privateKey, pathLength: 0, to: new Date('2121-01-01') });
  const below = tight.authority('Below');
  const chain = [below.server(NAMES), below];
  const two = (name, ...rest) => add(`two versions of a root: ${name}`, ...rest);
  two('the limited first', chain, [tight, wide], 'PATH_LENGTH_EXCEEDED');
  two('the limited last', chain, [wide, tight], 'accepted');
  two('the limited first, and longer', chain, [longer, wide], 'PATH_LENGTH_EXCEEDED');
  two('the limited last, and longer', chain, [wide, longer], 'accepted');
  two('the limited sent', [...chain, tight], [wide], 'accepted');
  two('the wide sent', [...chain, wide], [tight], 'PATH_LENGTH_EXCEEDED');
}

{
  const directory = (name) => der.tagged(1, der.tagged(4, name));
  const serial = (number) => der.primitive(2, Buffer.from([number]));
  const by = (name, parts, expected) => {
    const extensions = [extension('2.5.29.35', false, der.sequence(...parts))];
    const leaf = root.server(NAMES, { identifiers: false, extensions });
    add(`authority key identifiers: ${name}`, [leaf], [root], expected);
  };
  by('another key', [der.primitive(0, Buffer.alloc(20))], UNKNOWN_ISSUER);
  by('empty', [], 'accepted');
  by('the right issuer and serial', [directory(root.name), serial(root.serial)], 'accepted');
  by('another serial number', [directory(root.name), serial(root.serial + 1)], UNKNOWN_ISSUER);
  by('another issuer', [directory(alien.name), serial(root.serial)], UNKNOWN_ISSUER);
  by('a serial number alone', [serial(root.serial + 1)], UNKNOWN_ISSUER);
}

/** Extensions that OpenSSL knows, with a content that is none of theirs. */
const MALFORMED = {
  'alternative names': '2.5.29.17',
  'authority key identifier': '2.5.29.35',
  'basic constraints': '2.5.29.19',
  'certificate type': '2.16.840.1.113730.1.1',
  'distribution points': '2.5.29.31',
  'extended key usage': '2.5.29.37',
  'issuer alternative names': '2.5.29.18',
  'key usage': '2.5.29.15',
  'name constraints': '2.5.29.30',
  policies: '2.5.29.32',
  'policy constraints': '2.5.29.36',
  'proxy certificate': '1.3.6.1.5.5.7.1.14',
  'subject key identifier': '2.5.29.14',
  'TLS feature': '1.3.6.1.5.5.7.1.24',
};

for (const [name, id] of Object.entries(MALFORMED)) {
  for (const critical of [false, true]) {
    const what = `${critical ? 'critical ' : ''}${name}`;
    const extensions = [extension(id, critical, der.utf8('x'))];
    const bare = { identifiers: false, purposes: undefined, ca: undefined };
    const names = name === 'alternative names' ? undefined : NAMES;
    const leaf = root.server(NAMES, { ...bare, names, extensions });
    add(`malformed ${what} of a leaf`, [leaf], [root]);
    const own = authority('Own', {
      identifiers: false,
      ...(name === 'key usage' && { usage: undefined }),
      ...(name === 'basic constraints' && { ca: undefined }),
      extensions,
    });
    add(`malformed ${what} of a root`, [own.server(NAMES, bare)], [own]);
    const between = authority('Between', { issuer: root, ...bare, ca: true, extensions });
    add(`malformed ${what} of an intermediate`, [between.server(NAMES, bare), between], [root]);
  }
}

module.exports = cases;
