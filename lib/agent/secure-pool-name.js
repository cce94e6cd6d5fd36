'use strict';

// The name of a pool over TLS, for a request that leaves all options of TLS to its agent. Node writes certificates
// and keys into it whole, and V8 hashes it whole to find a socket by it. So the last name of each host is kept, with all
// that was read of the agent's options for it: they may change at any time.

const { isIP } = require('net');

/** Options of a request that are part of the name. */
const SECURE = new Set([
  'ALPNProtocols',
  'allowPartialTrustChain',
  'ca',
  'cert',
  'checkServerIdentity',
  'ciphers',
  'clientCertEngine',
  'crl',
  'dhparam',
  'ecdhCurve',
  'honorCipherOrder',
  'key',
  'maxVersion',
  'minVersion',
  'passphrase',
  'pfx',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'pskCallback',
  'rejectUnauthorized',
  'secureContext',
  'secureOptions',
  'secureProtocol',
  'servername',
  'sessionIdContext',
  'sigalgs',
]);

/** Hosts of an agent whose names are kept. */
const MAX_KNOWN = 256;

/** The names that are known, by agent and host. */
const known = new WeakMap();

/** The name of the pool; undefined where the request has a say in it. */
function securePoolName(agent, options, hostHeader) {
  for (const option in options) if (SECURE.has(option)) return undefined;
  let names = known.get(agent);
  if (names === undefined) known.set(agent, (names = new Map()));
  const last = names.get(options.host);
  if (last?.holdsFor(agent, options, hostHeader)) return last.name;
  const made = new Name(agent, options, hostHeader);
  names.delete(options.host);
  if (made.isKept) names.set(options.host, made);
  if (names.size > MAX_KNOWN) names.delete(names.keys().next().value);
  return made.name;
}

class Name {
  #port;
  #localAddress;
  #family;
  #socketPath;
  #hostHeader;
  /** What was read of the agent's options, and what it was. */
  #reads = [];
  #values = [];
  /** What may say something else later, though it is the same object: `[object, copy]`. The name has its text too. */
  #mutable = [];
  /** False if something was read that is not noted. */
  isKept = true;

  constructor(agent, options, hostHeader) {
    const { host, port, localAddress, family, socketPath } = options;
    this.#port = port;
    this.#localAddress = localAddress;
    this.#family = family;
    this.#socketPath = socketPath;
    this.#hostHeader = hostHeader;
    // With the agent's own options behind those of the request; none of them stands in both.
    const defaults = this.#watched(agent.options);
    const view = Object.assign(Object.create(defaults), { host, port, localAddress, family, socketPath });
    if (!defaults.servername && defaults.servername !== '') view.servername = servernameOf(host, hostHeader);
    this.name = agent.getName(view);
  }

  /** Whether the name would be the same for this request to the same host. */
  holdsFor(agent, options, hostHeader) {
    if (
      options.port !== this.#port ||
      options.localAddress !== this.#localAddress ||
      options.family !== this.#family ||
      options.socketPath !== this.#socketPath ||
      hostHeader !== this.#hostHeader
    ) {
      return false;
    }
    const defaults = agent.options;
    const reads = this.#reads;
    for (let i = 0; i < reads.length; i++) if (defaults[reads[i]] !== this.#values[i]) return false;
    for (const [object, copy] of this.#mutable) if (!isSame(object, copy)) return false;
    return true;
  }

  #watched(options) {
    const isNotKept =
      (reflect) =>
      (target, ...args) => {
        this.isKept = false;
        return reflect(target, ...args);
      };
    return new Proxy(options, {
      get: (target, name) => {
        const value = target[name];
        if (!this.#reads.includes(name)) {
          this.#reads.push(name);
          this.#values.push(value);
          this.#note(name, value);
        }
        return value;
      },
      has: isNotKept(Reflect.has),
      ownKeys: isNotKept(Reflect.ownKeys),
    });
  }

  #note(name, value) {
    if (value === null || typeof value !== 'object' || name === 'secureContext') return;
    if (value instanceof Uint8Array) {
      this.#mutable.push([value, Buffer.from(value)]);
    } else if (Array.isArray(value)) {
      this.#mutable.push([value, [...value]]);
      for (const one of value) this.#note(name, one);
    } else {
      this.isKept = false;
    }
  }
}

function isSame(object, copy) {
  if (!Array.isArray(object)) return Buffer.compare(object, copy) === 0;
  return object.length === copy.length && object.every((one, at) => one === copy[at]);
}

/** The name that Node tells the server if no option does: that of the Host header, else the host's; no address. */
function servernameOf(host, hostHeader) {
  let name = host;
  if (hostHeader) {
    const bracket = hostHeader[0] === '[' ? hostHeader.indexOf(']') : 0;
    if (bracket < 0) name = hostHeader;
    else name = bracket > 0 ? hostHeader.slice(1, bracket) : hostHeader.split(':', 1)[0];
  }
  return isIP(name) === 0 ? name : '';
}

module.exports = { securePoolName };
