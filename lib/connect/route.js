'use strict';

// From the options of createConnection to a route: what Rust is told to connect to, and by which limits. Lanes with
// the same options share it. Options that are wrong, or that Rust cannot do, are Node's.

const dns = require('dns');
const net = require('net');
const { domainToASCII } = require('url');

const { toCount } = require('../counts');
const { optionOf } = require('../defaults');
const { toDuration } = require('../durations');
const { isNodes, isSocketConnect, unwrapped } = require('../node/functions');
const { usesProxy } = require('../node/proxy');

const IS_WINDOWS = process.platform === 'win32';
/** The longest path of a Unix socket that every system takes (sun_path on macOS, less the NUL). */
const MAX_PATH = 103;
const HINTS = dns.ADDRCONFIG | dns.V4MAPPED | dns.ALL;
/** Shorter delays between attempts are raised to this, as Node does (ms). */
const MIN_ATTEMPT_DELAY = 10;
const MAX_DELAY = 0x7fffffff;

/**
 * Why these options are for Node's own sockets, or undefined if they are not. An empty reason means
 * that Node will refuse them: there is nothing to warn of then.
 */
function nodeReason(agent, options, surroundings) {
  if (usesProxy(agent, options)) return 'proxyEnv';
  for (const name of ['fd', 'handle', 'onread']) if (options[name] != null) return name;
  if (options.fd === null) return '';
  // Node knows it from version 24 on.
  if (options.typeOfService !== undefined && 'setTypeOfService' in net.Socket.prototype)
    return 'typeOfService';
  for (const name of ['readable', 'writable']) if (options[name] === false) return name;
  if (surroundings.isNetworkDenied) return '';

  const { path } = options;
  if (path != null && path !== '') {
    if (typeof path !== 'string') return '';
    if (IS_WINDOWS) return 'a named pipe as path';
    if (path.includes('\0')) return 'an abstract path';
    if (Buffer.byteLength(path) > MAX_PATH) return 'a long path';
  } else {
    if (!isPort(options.port)) return '';
    const host = options.host || 'localhost';
    if (typeof host !== 'string') return '';
    if (host.includes('%')) return 'an IPv6 zone in host';
  }
  const { localAddress, localPort, family, hints, autoSelectFamilyAttemptTimeout: delay } = options;
  if (localAddress) {
    if (typeof localAddress !== 'string' || net.isIP(localAddress) === 0) return '';
    if (localAddress.includes('%')) return 'an IPv6 zone in localAddress';
  }
  if (localPort && !(Number.isInteger(localPort) && localPort > 0 && localPort < 65536)) return '';
  if (family != null && toFamily(family) === undefined) return '';
  if (hints != null && !(Number.isInteger(hints) && (hints & ~HINTS) === 0)) return '';
  if (options.lookup != null && typeof options.lookup !== 'function') return '';
  if (options.autoSelectFamily != null && typeof options.autoSelectFamily !== 'boolean') return '';
  if (delay != null && !(Number.isInteger(delay) && delay >= 1 && delay <= MAX_DELAY)) return '';
  if (options.keepAliveInitialDelay !== undefined && typeof options.keepAliveInitialDelay !== 'number')
    return '';
  if (options.objectMode || options.readableObjectMode || options.writableObjectMode) return '';
  if (options.blockList && !net.BlockList.isBlockList?.(options.blockList)) return '';
  return isSocketConnect(surroundings.connectSocket) ? undefined : 'a replaced net.Socket.prototype.connect';
}

/**
 * Why connections in the clear are for what a program has put in the place of Node's: it may be a guard. Newer Nodes
 * connect by the function of 'net'.
 */
function connectReason({ createConnection, createNetConnection }) {
  const connect = unwrapped(createConnection);
  if (!isNodes.createConnection(connect)) return 'a replaced http.Agent.prototype.createConnection';
  const ofNet = [connect, unwrapped(createNetConnection)];
  if (!ofNet.some((found) => isNodes.createNetConnection(found))) return 'a replaced net.createConnection';
  return undefined;
}

function isPort(port) {
  if (typeof port === 'string' ? port.trim() === '' : typeof port !== 'number') return false;
  return Number(port) === Number(port) >>> 0 && Number(port) <= 0xffff;
}

function toFamily(family) {
  switch (family) {
    case 0:
    case undefined:
    case null:
      return 0;
    case 4:
    case 'IPv4':
      return 4;
    case 6:
    case 'IPv6':
      return 6;
    default:
      return undefined;
  }
}

/** What has a meaning in a URL: domainToASCII() would take what is before it for the whole name. */
const NO_NAME = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;

/** As dns.lookup() gives a name to the system. */
function toASCII(host) {
  if (/^[\0-\x7f]*$/.test(host) || NO_NAME.test(host)) return host;
  return domainToASCII(host) || host;
}

/** Whether requests may have to wait, and go on by themselves then (waiting.js). */
function mayQueue(options) {
  const { maxSockets, maxTotalSockets, sendEarly } = options;
  const isBounded = Number.isFinite(maxSockets) || Number.isFinite(maxTotalSockets);
  return isBounded && optionOf(options, 'maxSentAhead') > 0 && sendEarly !== false;
}

class Route {
  /** Its number in Rust (routes.js); 0 while it has none. */
  number = 0;
  /** What tls/options.js has made of the TLS options; undefined for connections in the clear. */
  secure = undefined;

  /**
   * `own`: the agent's options, for what net.connect() does not know. Of a request's options nothing else is read: they
   * may be those of a client library, which has a `connectTimeout` of another kind.
   */
  constructor(agentId, options, own, surroundings) {
    const isPath = options.path != null && options.path !== '';
    this.host = isPath ? options.path : options.host || 'localhost';
    this.noDelay = Boolean(options.noDelay);
    this.keepAlive = options.keepAlive
      ? Math.max(0, Math.trunc(options.keepAliveInitialDelay ?? 0))
      : undefined;
    this.isAddress = isPath || net.isIP(this.host) !== 0;
    this.blockList = isPath ? undefined : options.blockList;
    this.family = toFamily(options.family);
    /** As a lookup is told: what the program left out stays out. */
    this.askedFamily = this.family || options.family;
    this.hints = options.hints || 0;
    if (!IS_WINDOWS && this.family === 0 && this.hints === 0) this.hints = dns.ADDRCONFIG;
    const select = options.autoSelectFamily ?? surroundings.selectsFamily;
    this.firstOnly = this.family !== 0 || Boolean(options.localAddress) || !select;
    this.port = isPath ? 0 : Number(options.port);
    this.lookup = this.isAddress
      ? undefined
      : options.lookup || (isNodes.lookup(surroundings.lookup) ? undefined : surroundings.lookup);
    const delay = options.autoSelectFamilyAttemptTimeout ?? surroundings.attemptDelay;
    this.dnsCacheTtl = toLimit(own.dnsCacheTtl, 'dnsCacheTtl');
    this.native = {
      agent: agentId,
      path: isPath ? options.path : undefined,
      host: this.isAddress ? this.host : toASCII(this.host),
      port: this.port,
      family: this.family,
      hints: this.hints,
      order: surroundings.resultOrder,
      firstOnly: this.firstOnly,
      attemptDelay: Math.max(MIN_ATTEMPT_DELAY, delay),
      localAddress: options.localAddress || undefined,
      localPort: options.localPort || 0,
      noDelay: this.noDelay,
      keepAlive: this.keepAlive,
      connectTimeout: toLimit(own.connectTimeout, 'connectTimeout'),
      deadPeer: toLimit(optionOf(own, 'deadPeerTimeout'), 'deadPeerTimeout'),
      ttl: toLimit(optionOf(own, 'socketActiveTTL'), 'socketActiveTTL'),
      parse: !surroundings.rawPath,
      queues: mayQueue(own),
      readAhead: toCount(optionOf(own, 'maxReadAheadBytes'), 'maxReadAheadBytes'),
      maxBuffered: toCount(optionOf(own, 'maxBufferedBytes'), 'maxBufferedBytes'),
      maxReplay: toCount(optionOf(own, 'maxReplayBytes'), 'maxReplayBytes'),
    };
  }
}

/** A time in ms as the native side takes it; 0 and Infinity are no limit. Options may change while the agent runs. */
function toLimit(value, name) {
  const ms = value == null ? 0 : toDuration(value, `options.${name}`);
  return ms > 0 && ms < MAX_DELAY ? Math.ceil(ms) : undefined;
}

module.exports = { Route, connectReason, nodeReason };
