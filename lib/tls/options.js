'use strict';

// From the TLS options of a connection to a context of rustls's, or to the reason why it has to be Node's
// own TLS. docs/tls.md has the table of all options.

const { constants } = require('crypto');
const net = require('net');
const tls = require('tls');

const { native } = require('../binding');
const { identityOf } = require('../identity');
const { Content } = require('./option-content');
const { readAnchors, readIdentity } = require('./pem');
const { isNodesCheck } = require('./process');
const { CIPHERS, GROUPS } = require('./names');

/** What rustls does not know. With these Node's own TLS is used, unless they are off. */
const NODES = [
  'ALPNCallback',
  'SNICallback',
  'allowPartialTrustChain',
  'certificateCompression',
  'clientCertEngine',
  'crl',
  'dhparam',
  'enableTrace',
  'pfx',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'pskCallback',
  'requestOCSP',
  'secureContext',
  'secureOptions',
  'session',
  'sessionIdContext',
  'sessionTimeout',
  'sigalgs',
  'socket',
  'ticketKeys',
];

/**
 * Values with which an option is off besides undefined and null. Those without an entry are off with whatever is
 * falsy; Node refuses what else is wrong, so it must not pass here as if it were off.
 */
const OFF = {
  certificateCompression: [],
  clientCertEngine: [],
  crl: [],
  dhparam: [''],
  enableTrace: [false],
  pfx: [],
  privateKeyIdentifier: [],
  sessionIdContext: [''],
  sessionTimeout: [0],
  sigalgs: [],
  ticketKeys: [],
};

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
/** The older name of the two limits; those without an entry fix a version that rustls does not have. */
const PROTOCOLS = {
  TLS_client_method: ['TLSv1', 'TLSv1.3'],
  TLS_method: ['TLSv1', 'TLSv1.3'],
  SSLv23_client_method: ['TLSv1', 'TLSv1.3'],
  SSLv23_method: ['TLSv1', 'TLSv1.3'],
  TLSv1_2_client_method: ['TLSv1.2', 'TLSv1.2'],
  TLSv1_2_method: ['TLSv1.2', 'TLSv1.2'],
};

/** What the process began with; a `--tls-cipher-list` is in it, and no default then. */
const NODES_CIPHERS = constants.defaultCoreCipherList;

/** Options with which two connections have different contexts. */
const CONTEXT = [
  'ca',
  'cert',
  'ciphers',
  'ecdhCurve',
  'key',
  'maxVersion',
  'minVersion',
  'passphrase',
  'secureProtocol',
];

/** Contexts that are kept for each agent: most have one, and those that go through many do not come back. */
const MAX_CONTEXTS = 8;
const contexts = new WeakMap();

/**
 * What the options of tls.connect() come to: `{ reason }` as nodeReason() has it, or `{ secure }` for a
 * plan. An empty reason means that Node will refuse them.
 */
function secureOptions(agent, options, surroundings) {
  for (const name of NODES) {
    const value = options[name];
    if (value) return { reason: name };
    if (value != null && OFF[name]?.includes(value) === false) return { reason: '' };
  }
  if ('minDHSize' in options && !(typeof options.minDHSize === 'number' && options.minDHSize > 0))
    return { reason: '' };
  const check =
    'checkServerIdentity' in options ? options.checkServerIdentity : surroundings.checkServerIdentity;
  if (typeof check !== 'function') return { reason: '' };
  const { servername } = options;
  if (servername && (typeof servername !== 'string' || net.isIP(servername) !== 0)) return { reason: '' };

  const hostname = String(servername || options.host || 'localhost');
  // A final dot is for the resolver alone, and rustls does not tell it to the server as Node does.
  if (!native.isServerName(hostname) || hostname.endsWith('.')) return { reason: 'an unusual servername' };
  const rejects =
    'rejectUnauthorized' in options ? options.rejectUnauthorized !== false : !surroundings.allowsUnauthorized;
  const made = contextOf(agent, options, rejects, surroundings);
  if (made.reason !== undefined) return made;
  return {
    secure: {
      ...made,
      hostname,
      sni: servername || undefined,
      check,
      checkId: isNodesCheck(check) ? 0 : identityOf(check),
      rejects,
    },
  };
}

/** `{ context, own }`, or a reason; the same as before for the same options. */
function contextOf(agent, options, rejects, surroundings) {
  const defaults = options.ca ? undefined : surroundings.anchors;
  if (!options.ca && defaults === undefined) return { reason: "the roots of OpenSSL's own store" };
  const alpn = alpnOf(options.ALPNProtocols);
  if (alpn === undefined) return { reason: 'ALPNProtocols' };
  const { ciphers, ecdhCurve, minVersion, maxVersion } = surroundings;
  const others = [defaults, rejects, alpn.join('\0'), ciphers, ecdhCurve, minVersion, maxVersion];
  const content = Content.ofAll(options, CONTEXT, others);
  let list = contexts.get(agent);
  if (list === undefined) contexts.set(agent, (list = []));
  const known = list.find((entry) => entry.content.equals(content));
  if (known !== undefined) return known.made;
  const made = makeContext(options, defaults, rejects, alpn);
  list.push({ content: content.snapshot(), made });
  if (list.length > MAX_CONTEXTS) list.shift();
  return made;
}

function makeContext(options, defaults, rejects, alpn) {
  const versions = versionsOf(options);
  if (versions.reason !== undefined) return versions;
  const suites = suitesOf(options.ciphers ?? tls.DEFAULT_CIPHERS);
  if (suites === undefined) return { reason: 'ciphers' };
  const { ecdhCurve = tls.DEFAULT_ECDH_CURVE } = options;
  const groups = groupsOf(ecdhCurve);
  if (groups === undefined) return { reason: 'ecdhCurve' };
  const { tls13 } = versions;
  // As Node does it: those of TLS 1.3 are a list of their own, which stays the default if none is named. If
  // no others are named, TLS 1.2 is off.
  const tls12 = versions.tls12 && suites.some((name) => !isThirteen(name));
  if (!suites.some(isThirteen)) suites.unshift(...NODES_SUITES.filter(isThirteen));
  if (!tls12 && !tls13) return { reason: '' };
  let anchors = defaults;
  let own;
  try {
    if (anchors === undefined) {
      const certificates = readAnchors(options.ca);
      if (certificates === undefined) return { reason: 'ca' };
      anchors = new native.TrustAnchors(certificates, true);
      if (!anchors.complete) return { reason: 'ca' };
    }
    if (options.cert || options.key) {
      own = readIdentity(options);
      if (own === undefined) return { reason: options.key ? 'key' : 'cert' };
    }
  } catch {
    // Node says what is wrong with them, or takes them after all.
    return { reason: '' };
  }
  const key = own?.key.export({ type: 'pkcs8', format: 'der' });
  try {
    const settings = { tls12, tls13, suites, groups, alpn, rejectUnauthorized: rejects };
    const context = new native.TlsContext(settings, anchors, own?.certificates ?? [], key);
    return { context, own: own?.certificates[0], newest: tls13 ? 'TLSv1.3' : 'TLSv1.2' };
  } catch {
    return { reason: 'key' };
  } finally {
    key?.fill(0);
  }
}

/** Which of the two versions that rustls has are allowed. Older ones are left to Node if nothing else will do. */
function versionsOf({ minVersion, maxVersion, secureProtocol }) {
  let [min, max] = [minVersion ?? tls.DEFAULT_MIN_VERSION, maxVersion ?? tls.DEFAULT_MAX_VERSION];
  if (secureProtocol === '') return { reason: '' };
  if (secureProtocol) {
    if (minVersion != null || maxVersion != null) return { reason: '' };
    if (PROTOCOLS[secureProtocol] === undefined) return { reason: 'secureProtocol' };
    [min, max] = PROTOCOLS[secureProtocol];
  }
  [min, max] = [VERSIONS.indexOf(min), VERSIONS.indexOf(max)];
  if (min < 0 || max < 0 || min > max) return { reason: '' };
  if (max < 2) return { reason: 'maxVersion' };
  return { tls12: min <= 2, tls13: max === 3 };
}

const NODES_SUITES = Object.values(CIPHERS).map(({ rustls }) => rustls);

function isThirteen(suite) {
  return suite.startsWith('TLS13_');
}

/** rustls's names of OpenSSL's cipher suites, if it has all that are asked for. */
function suitesOf(ciphers) {
  if (typeof ciphers !== 'string') return undefined;
  // The default names groups of ciphers too. rustls has those that servers of today choose, and where a
  // server has none of them Node's own TLS connects.
  if (ciphers === NODES_CIPHERS) return [...NODES_SUITES];
  const list = ciphers.split(':').map((name) => CIPHERS[name]?.rustls);
  return list.includes(undefined) ? undefined : list;
}

function groupsOf(curve) {
  if (curve === 'auto') return defaultGroups;
  if (typeof curve !== 'string') return undefined;
  const list = curve.split(':').map((name) => GROUPS[name]?.rustls);
  return list.includes(undefined) ? undefined : list;
}

/** OpenSSL 3.5 and later begin with a key exchange that is safe from quantum computers. */
const [major, minor] = process.versions.openssl.split('.').map(Number);
const hasHybrid = major > 3 || (major === 3 && minor >= 5);
const defaultGroups = [...(hasHybrid ? ['X25519MLKEM768'] : []), 'X25519', 'secp256r1', 'secp384r1'];

/** Names of protocols, or undefined for the other forms that Node takes. */
function alpnOf(protocols) {
  if (protocols === undefined || protocols === null) return [];
  if (!Array.isArray(protocols)) return undefined;
  const isName = (name) => typeof name === 'string' && /^[\x20-\x7e]{1,255}$/.test(name);
  return protocols.every(isName) ? protocols : undefined;
}

module.exports = { secureOptions };
