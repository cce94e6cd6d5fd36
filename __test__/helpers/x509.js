'use strict';

// Certificates made at test time, sound and odd ones alike (RFC 5280). Nothing here refuses anything: what
// a real authority would never sign is what the tests are about.

const crypto = require('node:crypto');
const net = require('node:net');
const der = require('./der');

const SIGNATURES = {
  'ec/sha1': '1.2.840.10045.4.1',
  'ec/sha256': '1.2.840.10045.4.3.2',
  'ec/sha384': '1.2.840.10045.4.3.3',
  'rsa/sha1': '1.2.840.113549.1.1.5',
  'rsa/sha256': '1.2.840.113549.1.1.11',
  'rsa/sha384': '1.2.840.113549.1.1.12',
};
const PURPOSES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2', code: '1.3.6.1.5.5.7.3.3' };
const USAGES = ['digitalSignature', '', 'keyEncipherment', '', 'keyAgreement', 'keyCertSign', 'cRLSign'];
const ATTRIBUTES = { CN: '2.5.4.3', O: '2.5.4.10', OU: '2.5.4.11' };

const LONG_AGO = new Date('2020-01-01T00:00:00Z');
const LONG_AHEAD = new Date('2120-01-01T00:00:00Z');

let lastSerial = 0;

/** The name of a curve, `'ed25519'`, or the bits of an RSA key. */
function makeKey(kind) {
  if (typeof kind === 'number') return crypto.generateKeyPairSync('rsa', { modulusLength: kind }).privateKey;
  if (kind === 'ed25519') return crypto.generateKeyPairSync(kind).privateKey;
  return crypto.generateKeyPairSync('ec', { namedCurve: kind }).privateKey;
}

/** A common name, or `[[type, text], ...]`. */
function distinguishedName(name) {
  const attributes = typeof name === 'string' ? [['CN', name]] : name;
  return der.sequence(
    attributes.map(([type, text]) => der.set(der.sequence(der.oid(ATTRIBUTES[type]), der.utf8(text)))),
  );
}

function publicKeyOf(key) {
  return crypto.createPublicKey(key).export({ type: 'spki', format: 'der' });
}

/** The key's identifier by RFC 5280, section 4.2.1.2, but over the whole SubjectPublicKeyInfo. */
function identifierOf(key) {
  return crypto.createHash('sha1').update(publicKeyOf(key)).digest();
}

function ipBytes(address) {
  if (net.isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [head, tail] = address.split('::').map((part) => part.split(':').filter(Boolean));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head;
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** `dns:name`, `ip:address`, `email:…`, `uri:…`; in a constraint `ip:address/mask`. */
function generalName(text) {
  const colon = text.indexOf(':');
  const value = text.slice(colon + 1);
  switch (text.slice(0, colon)) {
    case 'email':
      return der.primitive(1, Buffer.from(value));
    case 'dns':
      return der.primitive(2, Buffer.from(value));
    case 'uri':
      return der.primitive(6, Buffer.from(value));
    case 'ip':
      return der.primitive(7, Buffer.concat(value.split('/').map(ipBytes)));
    default:
      throw new Error(`not a general name: ${text}`);
  }
}

function extension(id, critical, value) {
  return der.sequence(der.oid(id), critical ? der.boolean(true) : [], der.octets(value));
}

function extensionsOf({ ca, pathLength, usage, purposes, names, constraints, ...rest }) {
  const { own, issuer, identifiers = true, extensions = [] } = rest;
  const list = [...extensions];
  if (ca !== undefined) {
    const depth = pathLength === undefined ? [] : der.integer(pathLength);
    list.push(extension('2.5.29.19', true, der.sequence(ca ? der.boolean(true) : [], depth)));
  }
  if (usage) {
    const positions = usage.map((one) => USAGES.indexOf(one));
    const set = positions.reduce((all, position) => all | (0x80 >> position), 0);
    list.push(extension('2.5.29.15', true, der.bits(Buffer.from([set]), Math.max(...positions) + 1)));
  }
  if (purposes) {
    const ids = purposes.map((one) => der.oid(PURPOSES[one] ?? one));
    list.push(extension('2.5.29.37', false, der.sequence(ids)));
  }
  if (names) list.push(extension('2.5.29.17', false, der.sequence(names.map(generalName))));
  if (constraints) {
    const subtrees = (number, list) =>
      list ? der.tagged(number, ...list.map((name) => der.sequence(generalName(name)))) : [];
    const { permitted, excluded } = constraints;
    list.push(extension('2.5.29.30', true, der.sequence(subtrees(0, permitted), subtrees(1, excluded))));
  }
  if (identifiers) {
    list.push(extension('2.5.29.14', false, der.octets(own)));
    list.push(extension('2.5.29.35', false, der.sequence(der.primitive(0, issuer))));
  }
  return list;
}

function toPem(label, bytes) {
  const lines = bytes.toString('base64').replace(/.{64}(?!$)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/** Signs what was built, and wraps it as certificates and revocation lists are. */
function sign(build, key, digest) {
  const family = key.asymmetricKeyType;
  const algorithm =
    family === 'ed25519'
      ? der.sequence(der.oid('1.3.101.112'))
      : der.sequence(der.oid(SIGNATURES[`${family}/${digest}`]), family === 'rsa' ? der.nothing() : []);
  const body = build(algorithm);
  const signature = crypto.sign(family === 'ed25519' ? null : digest, body, key);
  return der.sequence(body, algorithm, der.bits(signature));
}

/** A certificate with its key; it can issue others, whether it is allowed to or not. */
class Certificate {
  /**
   * `issuer`: a Certificate; without one it signs itself. `subject`: a common name, or `[['O', …], ['CN', …]]`.
   * `key`: what makeKey() takes, or a KeyObject. `names`: alternative names. `usage`, `purposes`: key usages.
   * `identifiers`: false leaves out those of the keys. Version 1 has no extensions.
   */
  constructor({
    issuer,
    subject,
    key = 'P-256',
    digest = 'sha256',
    version = 3,
    serial = ++lastSerial,
    from = LONG_AGO,
    to = LONG_AHEAD,
    ...rest
  }) {
    this.privateKey = typeof key === 'object' ? key : makeKey(key);
    this.issuer = issuer ?? this;
    this.serial = serial;
    this.name = distinguishedName(subject);
    const own = identifierOf(this.privateKey);
    const extensions = extensionsOf({ ...rest, own, issuer: identifierOf(this.issuer.privateKey) });
    this.raw = sign(
      (algorithm) =>
        der.sequence(
          version === 1 ? [] : der.tagged(0, der.integer(version - 1)),
          der.integer(serial),
          algorithm,
          this.issuer.name,
          der.sequence(der.time(from), der.time(to)),
          this.name,
          publicKeyOf(this.privateKey),
          version === 1 ? [] : der.tagged(3, der.sequence(extensions)),
        ),
      this.issuer.privateKey,
      digest,
    );
    this.cert = toPem('CERTIFICATE', this.raw);
    this.key = this.privateKey.export({ type: 'pkcs8', format: 'pem' });
  }

  /** An authority below this one. */
  authority(subject, options) {
    return authority(subject, { issuer: this, ...options });
  }

  /** A certificate of a server, for these names. */
  server(names, options) {
    const subject = names[0]?.replace(/^\w+:/, '') ?? 'server';
    return new Certificate({ issuer: this, subject, names, ca: false, purposes: ['server'], ...options });
  }

  /** A certificate of a client. */
  client(subject, options) {
    return new Certificate({ issuer: this, subject, ca: false, purposes: ['client'], ...options });
  }

  /** A revocation list of this authority. */
  revoke(certificates, { from = LONG_AGO, to = LONG_AHEAD } = {}) {
    const revoked = certificates.map(({ serial }) => der.sequence(der.integer(serial), der.time(from)));
    const list = (algorithm) =>
      der.sequence(
        der.integer(1),
        algorithm,
        this.name,
        der.time(from),
        der.time(to),
        revoked.length > 0 ? der.sequence(revoked) : [],
      );
    return toPem('X509 CRL', sign(list, this.privateKey, 'sha256'));
  }
}

/** A self-signed authority, unless `options.issuer` says otherwise. */
function authority(subject, options) {
  return new Certificate({ subject, ca: true, usage: ['keyCertSign', 'cRLSign'], ...options });
}

module.exports = { Certificate, authority, extension };
