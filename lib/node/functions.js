'use strict';

// Functions of Node's that this package does not call where it does the same itself. Programs put their own into the
// place of these, to guard, to pin certificates, to restrict what is spoken or to watch; often in a preload, before this
// package is loaded. So what stands there then proves nothing. What cannot be proved to be Node's is a program's.

const dns = require('dns');
const http = require('http');
const https = require('https');
const net = require('net');
const tls = require('tls');
const vm = require('vm');

const process = require('./process');

const [agent, secureAgent] = [http.Agent.prototype, https.Agent.prototype];

const asMethod = (method, probe) => method.call(probe, probe);
const onRequest = (method, probe) => method.call(probe, probe, probe);

/** The last version of each major, as far as it is known, whose functions have the texts below. */
const KNOWN = { 20: 20, 21: 7, 22: 23, 23: 11, 24: 21, 25: 9, 26: 10 };

/**
 * How each is told: by a name that only Node's source has, so that no function of a program's is called here; and
 * by a call that ends where it first looks at what it was given. Of what runs for each request the text has to do: V8
 * remembers what a function was called with, and such a call would cost each request afterwards. In a Node that
 * is newer than those, the call has to do: else all connections would be Node's where Node has changed a line.
 */
const SIGNS = {
  addRequest: { at: agent, text: 'setRequestSocket(this, req, socket)', call: onRequest, isFrequent: true },
  checkServerIdentity: {
    at: tls,
    text: 'new ERR_TLS_CERT_ALTNAME_INVALID(',
    call: (check, probe) => check('', probe),
  },
  connect: {
    at: tls,
    text: 'new TLSSocket(',
    // In this form it looks at the options before it does anything else.
    call: (connect, probe) => connect(0, probe),
  },
  connectSocket: {
    at: net.Socket.prototype,
    name: 'connect',
    text: 'this._parent',
    // Whether it got an array is what it looks at before it tells anybody of the socket.
    target: [],
    call: asMethod,
  },
  // In older Nodes it is that of 'net'.
  createConnection: { at: agent, text: /new Socket\(options\)|this\[kProxyConfig\]/, call: asMethod },
  createNetConnection: {
    at: net,
    name: 'createConnection',
    text: 'new Socket(options)',
    call: (connect, probe) => connect(probe),
  },
  createSecureConnection: {
    at: secureAgent,
    name: 'createConnection',
    text: 'this._getSession(options._agentKey)',
    call: asMethod,
  },
  createSecureContext: {
    at: tls,
    text: 'configSecureContext(',
    call: (create, probe) => create(probe),
  },
  createSocket: { at: agent, text: 'installListeners(this, ', call: onRequest, isFrequent: true },
  getName: { at: agent, text: 'options = kEmptyObject', call: asMethod, isFrequent: true },
  getSecureName: {
    at: secureAgent,
    name: 'getName',
    text: 'FunctionPrototypeCall(HttpAgent.prototype.getName',
    call: asMethod,
    isFrequent: true,
  },
  // Of newer Nodes; of the others it is that of 'http'.
  keepSecureSocketAlive: {
    at: secureAgent,
    name: 'keepSocketAlive',
    text: 'kPerRequestCheckServerIdentity',
    call: asMethod,
    isFrequent: true,
  },
  keepSocketAlive: { at: agent, text: 'NumberParseInt(hint)', call: asMethod, isFrequent: true },
  lookup: {
    at: dns,
    text: 'new GetAddrInfoReqWrap()',
    call: (lookup, probe) => lookup('', probe, () => {}),
  },
  // It does something before it looks at anything: its text has to do.
  onSocket: { at: http.ClientRequest.prototype, text: 'onSocketNT', isFrequent: true },
  removeSocket: { at: agent, text: 'req[kRequestOptions] = undefined', call: asMethod, isFrequent: true },
  reuseSocket: { at: agent, text: "('error', freeSocketErrorListener)", call: onRequest, isFrequent: true },
};

/** By the names in SIGNS: whether a function is that one. They are asked several times for each request. */
const isNodes = Object.fromEntries(Object.entries(SIGNS).map(([name, sign]) => [name, telling(sign)]));

function telling(sign) {
  /** Node's, once it has been seen, and others that were. */
  let own;
  const others = new WeakSet();
  return (found) => {
    if (own !== undefined) return found === own;
    if (typeof found !== 'function' || others.has(found)) return false;
    if (isProved(sign, found)) own = found;
    else others.add(found);
    return found === own;
  };
}

/** What New Relic has wrapped, to time it. Its wrappers have a symbol of their own; shimmer's mark is on guards, too. */
function unwrapped(found) {
  const mark = Object.getOwnPropertySymbols(found).find(({ description }) => description === 'original');
  const original = mark === undefined ? undefined : found[mark];
  return typeof original === 'function' ? unwrapped(original) : found;
}

/**
 * Whether a connect() of net.Socket's is Node's, whatever tracers have put around it, to time it: those of New Relic, those with
 * shimmer's mark (OpenTelemetry's), and Datadog's, which has none. Mocks and guards have no mark there.
 */
function isSocketConnect(found) {
  if (isNodes.connectSocket(found)) return true;
  if (typeof found !== 'function') return false;
  const original = typeof found.__original === 'function' ? found.__original : unwrapped(found);
  return original === found ? DATADOGS.test(textOf(found)) : isSocketConnect(original);
}

const DATADOGS = /\bstartTCPCh\.hasSubscribers\b/;

function isProved({ text, call, isFrequent, target }, found) {
  const source = textOf(found);
  const isKnownText = text instanceof RegExp ? text.test(source) : source.includes(text);
  if (isKnownText && isFrequent) return true;
  if (call === undefined || !(isKnownText || isNewer())) return false;
  const { prepareStackTrace, stackTraceLimit } = Error;
  const isShown =
    Reflect.set(Error, 'prepareStackTrace', (error, sites) => sites) &&
    Reflect.set(Error, 'stackTraceLimit', Infinity);
  try {
    return runsByItself(call, found, isShown ? sitesUnder : sitesElsewhere(), target);
  } finally {
    Reflect.set(Error, 'prepareStackTrace', prepareStackTrace);
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}

function textOf(found) {
  return Function.prototype.toString.call(found);
}

function isNewer() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return !(minor <= KNOWN[major]);
}

/** Whether there is nothing but Node between a call and the first look at what it is given. */
function runsByItself(call, found, sitesOf, target = {}) {
  const below = sitesOf(runsByItself).length;
  let sites = [];
  const look = () => {
    sites = sitesOf(look);
    throw new Error('seen');
  };
  try {
    call(found, new Proxy(target, { get: look, ownKeys: look }));
  } catch {
    // It was to end so.
  }
  // Under what it is about are `call` and this function.
  const between = sites.slice(0, -below - 2);
  return between.length > 0 && between.every(isOfNode);
}

/** The calls that led to `top`, the latest first. */
function sitesUnder(top) {
  const holder = {};
  Error.captureStackTrace(holder, top);
  return holder.stack;
}

let elsewhere;

/** As sitesUnder, where Error is frozen (`--frozen-intrinsics` does so): that of another realm is not. */
function sitesElsewhere() {
  elsewhere ??= vm.runInNewContext(
    `Error.prepareStackTrace = (error, sites) => sites; Error.stackTraceLimit = Infinity; (${sitesUnder})`,
  );
  return elsewhere;
}

/** Functions of the language, such as Object.assign(), have no place in a file. */
function isOfNode(site) {
  const file = site.getFileName();
  return file == null ? site.getLineNumber() === null && !site.isEval() : file.startsWith('node:');
}

for (const [key, { at, name = key }] of Object.entries(SIGNS)) isNodes[key](at[name]);

module.exports = { isNodes, isSocketConnect, unwrapped };
