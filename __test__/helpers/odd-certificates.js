'use strict';

// Cases of certificates, sound and odd, with what Node makes of each (for tls-odd-certificates.test.js).

const der = require('./der');
const { Certificate, authority, extension } = require('./x509');

const NAME = 'service.test';
const NAMES = [`dns:${NAME}`];
const PAST = { from: new Date('2001-01-01'), to: new Date('2002-01-01') };
const FUTURE = { from: new Date('2101-01-01'), to: new Date('2102-01-01') };

const root = authority('Root');
const middle = root.authority('Middle');
const leaf = middle.server(NAMES);
const alien = authority('Alien');
const WRONG = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** The key cannot sign a handshake: OpenSSL finds out at different points. */
const WRONG_USAGE = { 'TLSv1.2': 'EPROTO', 'TLSv1.3': 'INVALID_PURPOSE' };
/** The name that Node gives to all that it has no name for; the message says what it is. */
const UNSPECIFIED = 'UNSPECIFIED';
const MAJOR = Number.parseInt(process.versions.node);
/** From OpenSSL's security level 2 on, which is the default since Node 24. */
const TOO_SHORT = MAJOR >= 24 ? UNSPECIFIED : 'accepted';
/** The newest Node refuses it at once. */
const ADDRESS_AS_SERVERNAME = MAJOR >= 26 ? 'ERR_INVALID_ARG_VALUE' : 'accepted';

/**
 * Each case: what the server sends, what the agent trusts (`ca`; null: the option is left out), and what
 * Node makes of it: 'accepted' or a code, which may depend on the version of TLS. `ask`: options of the
 * request, by default the name as servername.
 */
const cases = [];
let group = '';
function add(name, chain, ca, expected, ask = { servername: NAME }) {
  cases.push({ name: `${group}: ${name}`, chain, ca, expected, ask });
}

group = 'chains';
add('leaf, intermediate and a root that is trusted', [leaf, middle], [root], 'accepted');
add('the root is sent too', [leaf, middle, root], [root], 'accepted');
add('in a wrong order', [leaf, root, middle], [root], 'accepted');
add('the leaf twice', [leaf, leaf, middle], [root], 'accepted');
add('with one that does not belong there', [leaf, alien, middle], [root], 'accepted');
add('among several roots', [leaf, middle], [alien, root], 'accepted');
add('the same root twice', [leaf, middle], [root, root], 'accepted');
add('the intermediate is missing', [leaf], [root], 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
add('the intermediate is missing, but in ca', [leaf], [root, middle], 'accepted');
add('straight from the root', [root.server(NAMES)], [root], 'accepted');
{
  const lower = middle.authority('Lower');
  add('two intermediates', [lower.server(NAMES), lower, middle], [root], 'accepted');
  const short = root.authority('Short', { pathLength: 0 });
  const below = short.authority('Below');
  add(
    'longer than a path length allows',
    [below.server(NAMES), below, short],
    [root],
    'PATH_LENGTH_EXCEEDED',
  );
}

group = 'trust';
add('an unknown root that is not sent', [leaf, middle], [alien], 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
add('an unknown root that is sent', [leaf, middle, root], [alien], 'SELF_SIGNED_CERT_IN_CHAIN');
add('no ca, chain', [leaf, middle], null, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
add('no ca, root sent', [leaf, middle, root], null, 'SELF_SIGNED_CERT_IN_CHAIN');
add('no ca, leaf alone', [leaf], null, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
add(
  'no ca, self-signed',
  [new Certificate({ subject: NAME, names: NAMES })],
  null,
  'DEPTH_ZERO_SELF_SIGNED_CERT',
);
add('an empty ca', [leaf, middle], [], 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
add(
  'another root of the same name',
  [leaf, middle],
  [authority('Root')],
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
);
add('both roots of the same name', [leaf, middle], [authority('Root'), root], 'accepted');
{
  const renewed = authority('Root', { key: root.privateKey });
  add('the root renewed with its key', [leaf, middle], [renewed], 'accepted');
  add('the old root sent, the renewed trusted', [leaf, middle, root], [renewed], 'accepted');
}

group = 'a self-signed leaf as ca';
for (const [name, options] of Object.entries({
  'no constraints': {},
  'CA:FALSE': { ca: false },
  'CA:TRUE': { ca: true },
  'for servers': { ca: false, purposes: ['server'] },
  'for clients': { purposes: ['client'], expected: 'INVALID_PURPOSE' },
  'may sign certificates only': { ca: true, usage: ['keyCertSign'], expected: WRONG_USAGE },
  'may sign no certificates': { usage: ['digitalSignature'] },
  'version 1': { version: 1 },
})) {
  const { expected = 'accepted' } = options;
  const self = new Certificate({ subject: NAME, names: NAMES, ...options });
  add(name, [self], [self], expected);
}
{
  const self = new Certificate({ subject: NAME, names: NAMES });
  const { privateKey: key } = self;
  add('of another name', [self], [self], WRONG, { servername: 'other.test' });
  const other = new Certificate({ subject: NAME, names: NAMES });
  add('another one of the same subject', [self], [other], 'DEPTH_ZERO_SELF_SIGNED_CERT');
  const again = new Certificate({ subject: NAME, names: NAMES, key });
  add('the same key, another serial number', [self], [again], 'DEPTH_ZERO_SELF_SIGNED_CERT');
  const expired = new Certificate({ subject: NAME, names: NAMES, ...PAST });
  add('expired', [expired], [expired], 'CERT_HAS_EXPIRED');
  add('with a second certificate behind it', [self, alien], [self], 'accepted');
}

group = 'ca without a root';
add('the intermediate', [leaf, middle], [middle], 'UNABLE_TO_GET_ISSUER_CERT');
add('the intermediate, only the leaf sent', [leaf], [middle], 'UNABLE_TO_GET_ISSUER_CERT');
add('the intermediate, the root sent', [leaf, middle, root], [middle], 'UNABLE_TO_GET_ISSUER_CERT');
add('the leaf', [leaf, middle], [leaf], 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY');
add('the leaf, and only the leaf sent', [leaf], [leaf], 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
add(
  'the intermediate, beside a root of others',
  [leaf, middle],
  [middle, alien],
  'UNABLE_TO_GET_ISSUER_CERT',
);

group = 'time';
{
  const by = (options) => middle.server(NAMES, options);
  add('an expired leaf', [by(PAST), middle], [root], 'CERT_HAS_EXPIRED');
  add('a leaf that is not valid yet', [by(FUTURE), middle], [root], 'CERT_NOT_YET_VALID');
  add('an expired leaf for another name', [by(PAST), middle], [root], 'CERT_HAS_EXPIRED', {
    servername: 'x.test',
  });
  add('an expired leaf of an unknown root', [by(PAST), middle], [alien], 'CERT_HAS_EXPIRED');
  const oldMiddle = root.authority('Old middle', PAST);
  add('an expired intermediate', [oldMiddle.server(NAMES), oldMiddle], [root], 'CERT_HAS_EXPIRED');
  const oldRoot = authority('Old root', PAST);
  const underOld = oldRoot.server(NAMES);
  add('an expired root as ca', [underOld], [oldRoot], 'CERT_HAS_EXPIRED');
  add('an expired root as ca, beside another', [underOld], [root, oldRoot], 'CERT_HAS_EXPIRED');
  const nextRoot = authority('Next root', FUTURE);
  add('a root as ca that is not valid yet', [nextRoot.server(NAMES)], [nextRoot], 'CERT_NOT_YET_VALID');
  const renewed = authority('Old root', { key: oldRoot.privateKey });
  add('an expired root and its renewal as ca', [underOld], [oldRoot, renewed], 'accepted');
  add('an expired root sent, its renewal as ca', [underOld, oldRoot], [renewed], 'accepted');
  // As when a large authority's first root ran out: the same intermediate is a root of its own by now.
  const young = authority('Young root');
  const crossed = new Certificate({
    issuer: oldRoot,
    subject: 'Young root',
    key: young.privateKey,
    ca: true,
  });
  const crossLeaf = young.server(NAMES);
  add('cross-signed by an expired root, both as ca', [crossLeaf, crossed], [young, oldRoot], 'accepted');
  add('cross-signed by an expired root, that as ca', [crossLeaf, crossed], [oldRoot], 'CERT_HAS_EXPIRED');
}

group = 'version 1';
add('leaf', [new Certificate({ issuer: root, subject: NAME, version: 1 })], [root], 'accepted');
{
  const old = new Certificate({ subject: 'Version 1', version: 1 });
  add('root', [old.server(NAMES)], [old], 'accepted');
  const between = new Certificate({ issuer: root, subject: 'Between', version: 1 });
  add('intermediate', [between.server(NAMES), between], [root], 'INVALID_PURPOSE');
}

group = 'weak';
{
  add('1024-bit RSA leaf', [root.server(NAMES, { key: 1024 })], [root], TOO_SHORT);
  const small = authority('Small', { key: 1024 });
  add('1024-bit RSA root', [small.server(NAMES)], [small], TOO_SHORT);
  add('SHA-1 leaf', [root.server(NAMES, { digest: 'sha1' })], [root], UNSPECIFIED);
  const hashed = root.authority('Hashed', { digest: 'sha1' });
  add('SHA-1 intermediate', [hashed.server(NAMES), hashed], [root], UNSPECIFIED);
  const rootHashed = authority('Root hashed', { digest: 'sha1' });
  add('SHA-1 root', [rootHashed.server(NAMES)], [rootHashed], 'accepted');
  const level0 = { servername: NAME, ciphers: 'DEFAULT@SECLEVEL=0' };
  add('1024-bit RSA leaf at level 0', [root.server(NAMES, { key: 1024 })], [root], 'accepted', level0);
  add('SHA-1 leaf at level 0', [root.server(NAMES, { digest: 'sha1' })], [root], 'accepted', level0);
}

group = 'keys';
for (const key of ['P-384', 'P-521', 'ed25519', 2048]) {
  add(`${key} leaf`, [root.server(NAMES, { key })], [root], 'accepted');
}
for (const key of ['P-384', 'ed25519', 2048]) {
  const signer = authority(`${key}`, { key });
  add(`${key} root`, [signer.server(NAMES)], [signer], 'accepted');
}

group = 'purpose';
add('for clients', [root.server(NAMES, { purposes: ['client'] })], [root], 'INVALID_PURPOSE');
add('for clients and servers', [root.server(NAMES, { purposes: ['client', 'server'] })], [root], 'accepted');
add('for signing code', [root.server(NAMES, { purposes: ['code'] })], [root], 'INVALID_PURPOSE');
add('for anything', [root.server(NAMES, { purposes: ['2.5.29.37.0'] })], [root], 'INVALID_PURPOSE');
add('for nothing in particular', [root.server(NAMES, { purposes: undefined })], [root], 'accepted');
add('a key that may sign', [root.server(NAMES, { usage: ['digitalSignature'] })], [root], 'accepted');
add('a key for certificates only', [root.server(NAMES, { usage: ['keyCertSign'] })], [root], WRONG_USAGE);
{
  const forClients = root.authority('For clients', { purposes: ['client'] });
  add('an intermediate for clients', [forClients.server(NAMES), forClients], [root], 'INVALID_PURPOSE');
  const rootForClients = authority('Root for clients', { purposes: ['client'] });
  add('a root for clients', [rootForClients.server(NAMES)], [rootForClients], 'INVALID_PURPOSE');
}

group = 'authorities';
{
  const plain = (options) => new Certificate({ issuer: root, subject: 'Plain', ...options });
  const no = plain({ ca: false });
  add('an intermediate with CA:FALSE', [no.server(NAMES), no], [root], 'INVALID_PURPOSE');
  const silent = plain({});
  add('an intermediate that does not say', [silent.server(NAMES), silent], [root], 'INVALID_PURPOSE');
  const bound = plain({ ca: true, usage: ['digitalSignature'] });
  add('an intermediate that may not sign', [bound.server(NAMES), bound], [root], UNSPECIFIED);
  const rootNo = new Certificate({ subject: 'Root with CA:FALSE', ca: false });
  add('a root with CA:FALSE', [rootNo.server(NAMES)], [rootNo], 'INVALID_PURPOSE');
  const rootSilent = new Certificate({ subject: 'Silent root' });
  add('a root that does not say', [rootSilent.server(NAMES)], [rootSilent], 'INVALID_PURPOSE');
  add('an authority as leaf', [root.server(NAMES, { ca: true, purposes: undefined })], [root], 'accepted');
  const both = authority(NAME, { names: NAMES, usage: ['keyCertSign', 'digitalSignature'] });
  add('a root as leaf', [both], [both], 'accepted');
  // Nothing but the signature tells them from what they pretend to be.
  const pretended = { name: root.name, privateKey: alien.privateKey };
  const forged = new Certificate({ issuer: pretended, subject: NAME, identifiers: false });
  add('a forged signature', [forged], [root], 'CERT_SIGNATURE_FAILURE');
}

group = 'extensions';
{
  const unknown = (critical) => [extension('1.3.6.1.4.1.55555.1', critical, der.nothing())];
  const extended = (critical) => root.server(NAMES, { extensions: unknown(critical) });
  add('an unknown one', [extended(false)], [root], 'accepted');
  add('an unknown one that is critical', [extended(true)], [root], UNSPECIFIED);
}

group = 'name constraints';
{
  const below = (constraints, names = NAMES, options) => {
    const bound = root.authority('Bound', { constraints });
    return [bound.server(names, options), bound];
  };
  const other = { servername: 'other.test' };
  add('permitted', below({ permitted: ['dns:service.test'] }), [root], 'accepted');
  add('permitted by its parent', below({ permitted: ['dns:test'] }), [root], 'accepted');
  add('not permitted', below({ permitted: ['dns:example.test'] }), [root], UNSPECIFIED);
  add('excluded', below({ excluded: ['dns:service.test'] }), [root], UNSPECIFIED);
  add('not excluded', below({ excluded: ['dns:example.test'] }), [root], 'accepted');
  add(
    'permitted and excluded',
    below({ permitted: ['dns:test'], excluded: ['dns:service.test'] }),
    [root],
    UNSPECIFIED,
  );
  add(
    'one name of two is not permitted',
    below({ permitted: ['dns:service.test'] }, [...NAMES, 'dns:other.test']),
    [root],
    UNSPECIFIED,
  );
  add('of another name', below({ permitted: ['dns:service.test'] }), [root], WRONG, other);
  add('a wildcard', below({ permitted: ['dns:service.test'] }, ['dns:*.service.test']), [root], 'accepted', {
    servername: 'a.service.test',
  });
  add(
    'only a common name, permitted',
    below({ permitted: ['dns:service.test'] }, [], { subject: NAME, names: undefined }),
    [root],
    'accepted',
  );
  add(
    'only a common name, not permitted',
    below({ permitted: ['dns:example.test'] }, [], { subject: NAME, names: undefined }),
    [root],
    UNSPECIFIED,
  );
  const ip = ['ip:127.0.0.1'];
  const loopback = 'ip:127.0.0.0/255.0.0.0';
  const elsewhere = 'ip:10.0.0.0/255.0.0.0';
  add('address permitted', below({ permitted: [loopback] }, ip), [root], 'accepted', {});
  add('address not permitted', below({ permitted: [elsewhere] }, ip), [root], UNSPECIFIED, {});
  add('address excluded', below({ excluded: [loopback] }, ip), [root], UNSPECIFIED, {});
  add(
    'an address as common name, names constrained',
    below({ permitted: ['dns:test'] }, ip),
    [root],
    UNSPECIFIED,
    {},
  );
  add('mail addresses constrained', below({ permitted: ['email:service.test'] }), [root], 'accepted');
  const boundRoot = authority('Bound root', { constraints: { permitted: ['dns:example.test'] } });
  add('of the root', [boundRoot.server(NAMES)], [boundRoot], UNSPECIFIED);
}

group = 'host names';
{
  const named = (...names) => [
    root.server(
      names.map((name) => `dns:${name}`),
      { subject: 'Some service' },
    ),
  ];
  const host = (names, servername, expected) =>
    add(`${JSON.stringify(names)} for ${servername}`, named(...names), [root], expected, { servername });
  host(['service.test'], 'other.test', WRONG);
  host(['a.test', 'service.test'], 'service.test', 'accepted');
  host(['SERVICE.test'], 'service.test', 'accepted');
  host(['service.test'], 'SERVICE.TEST', 'accepted');
  host(['service.test'], 'service.test.', 'accepted');
  host(['service.test.'], 'service.test', 'accepted');
  host(['under_score.service.test'], 'under_score.service.test', 'accepted');
  host(['*.service.test'], 'under_score.service.test', 'accepted');
  host(['xn--mnchen-3ya.test'], 'xn--mnchen-3ya.test', 'accepted');
  host(['localhost'], 'localhost', 'accepted');
  host(['*.service.test'], 'a.service.test', 'accepted');
  host(['*.service.test'], 'A.SERVICE.test', 'accepted');
  host(['*.service.test'], 'service.test', WRONG);
  host(['*.service.test'], 'a.b.service.test', WRONG);
  host(['*.*.service.test'], 'a.b.service.test', WRONG);
  host(['*.test'], 'service.test', WRONG);
  host(['*'], 'service.test', WRONG);
  host(['*'], 'localhost', WRONG);
  host(['a.*.test'], 'a.service.test', WRONG);
  host(['ser*.service.test'], 'server.service.test', 'accepted');
  host(['*ver.service.test'], 'server.service.test', 'accepted');
  host(['s*r.service.test'], 'server.service.test', 'accepted');
  host(['s*r.service.test'], 'client.service.test', WRONG);
  host(['s*e*r.service.test'], 'server.service.test', WRONG);
  host(['xn--*.service.test'], 'xn--abc.service.test', WRONG);
  host(['service.test\0.other.test'], 'service.test', WRONG);
  host(['other.test, DNS:service.test'], 'service.test', WRONG);
  host(['service.test', 'bad name'], 'service.test', 'accepted');
  host([''], 'service.test', WRONG);
}

group = 'common names';
{
  const common = (subject, names) => [root.server([], { subject, names })];
  add('no alternative name', common(NAME), [root], 'accepted');
  add('no alternative name, another name', common('other.test'), [root], WRONG);
  add('no alternative name, wildcard', common('*.service.test'), [root], 'accepted', {
    servername: 'a.service.test',
  });
  add('no name at all', common([['O', 'Some company']]), [root], WRONG);
  add('no subject at all', common([]), [root], WRONG);
  add(
    'two of them',
    common([
      ['CN', 'other.test'],
      ['CN', NAME],
    ]),
    [root],
    'accepted',
  );
  add(
    'in an organisation',
    common([
      ['O', 'Some company'],
      ['CN', NAME],
    ]),
    [root],
    'accepted',
  );
  add('not if there is another name', common(NAME, ['dns:other.test']), [root], WRONG);
  add('beside an address', common(NAME, ['ip:127.0.0.1']), [root], 'accepted');
  add('beside a mail address', common(NAME, ['email:root@service.test']), [root], 'accepted');
  add('beside a URI', common(NAME, ['uri:https://service.test/']), [root], 'accepted');
  add('with a NUL in it', common('service.test\0.other.test'), [root], WRONG);
}

group = 'addresses';
{
  const named = (...names) => [root.server(names, { subject: 'Some service' })];
  add('as alternative name', named('ip:127.0.0.1'), [root], 'accepted', {});
  add('another one', named('ip:127.0.0.2'), [root], WRONG, {});
  add('beside names', named('dns:service.test', 'ip:127.0.0.1'), [root], 'accepted', {});
  add(
    'as common name only',
    [root.server([], { subject: '127.0.0.1', names: undefined })],
    [root],
    WRONG,
    {},
  );
  add('written as a name', named('dns:127.0.0.1'), [root], WRONG, {});
  add('a wildcard', named('dns:*.0.0.1'), [root], WRONG, {});
  add('of IPv6 for one of IPv4', named('ip:::ffff:7f00:1'), [root], WRONG, {});
  add('a name of the address given as servername', named('ip:127.0.0.1'), [root], WRONG, {
    servername: NAME,
  });
  add('as servername', named('ip:127.0.0.1'), [root], ADDRESS_AS_SERVERNAME, { servername: '127.0.0.1' });
}

module.exports = cases;
