'use strict';

// From the options of createConnection to a plan: what Rust is told to connect to, and where
// JavaScript has a say in it. Options that are wrong, or that Rust cannot do, are Node's.

const dns = require('dns');
const net = require('net');
const { domainToASCII } = require('url');

const { toDuration } = require('./durations');
const errors = require('./errors');

const IS_WINDOWS = process.platform === 'win32';
/** The longest path of a Unix socket that every system takes (sun_path on macOS, less the NUL). */
const MAX_PATH = 103;
const HINTS = dns.ADDRCONFIG | dns.V4MAPPED | dns.ALL;
/** Shorter delays between attempts are raised to this, as Node does (ms). */
const MIN_ATTEMPT_DELAY = 10;
const MAX_DELAY = 0x7fffffff;

/** Whether this Node's permission model knows the network. */
const GUARDS_NETWORK = process.allowedNodeEnvironmentFlags.has('--allow-net');

/** Numbers for what decides where a connection leads: connections with different ones are never exchanged. */
const resolverIds = new WeakMap();
let lastResolverId = 0;

function newResolverId() {
  return (lastResolverId = (lastResolverId + 1) >>> 0 || 1);
}

function resolverId(object) {
  let id = resolverIds.get(object);
  if (id === undefined) resolverIds.set(object, (id = newResolverId()));
  return id;
}

const PERMISSION = {};

/** createConnection's three forms: (options), (port, host?, options?), (path, options?), with a callback. */
function normalizeArgs(args) {
  const callback = typeof args.at(-1) === 'function' ? args.at(-1) : null;
  const [first, second, third] = callback === null ? args : args.slice(0, -1);
  if (typeof first === 'object' && first !== null) return [first, callback];
  const rest = typeof second === 'object' ? second : third;
  if (typeof first === 'string' && !(Number(first) >= 0)) return [{ ...rest, path: first }, callback];
  const host = typeof second === 'string' ? { host: second } : {};
  return [{ ...rest, port: first, ...host }, callback];
}

/**
 * Why these options are for Node's own sockets, or undefined if they are not. An empty reason means
 * that Node will refuse them: there is nothing to warn of then.
 */
function nodeReason(options) {
  if (options.proxyEnv != null) return 'proxyEnv';
  for (const name of ['fd', 'handle', 'onread']) if (options[name] != null) return name;
  for (const name of ['readable', 'writable']) if (options[name] === false) return name;
  if (isNetworkDenied()) return '';

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
  return undefined;
}

/** Permissions can be dropped while the program runs. */
function isNetworkDenied() {
  return GUARDS_NETWORK && process.permission !== undefined && !process.permission.has('net');
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

/** Whether the program has put another function in the place of dns.lookup. */
function isReplaced(lookup) {
  // Node marks its own for util.promisify, with a symbol that nobody else can get by accident.
  return !Object.getOwnPropertySymbols(lookup).some((symbol) => symbol.description === 'customPromisifyArgs');
}

class Plan {
  #dnsCacheTtl;

  /** `defaults`: the agent's options, for what net.connect() does not know. */
  constructor(agentId, options, defaults) {
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
    const select = options.autoSelectFamily ?? net.getDefaultAutoSelectFamily();
    this.firstOnly = this.family !== 0 || Boolean(options.localAddress) || !select;
    this.port = isPath ? 0 : Number(options.port);
    this.lookup = this.isAddress
      ? undefined
      : options.lookup || (isReplaced(dns.lookup) ? dns.lookup : undefined);
    /** The events whose listeners guard each connection. */
    this.guards = undefined;
    this.begun = false;
    /** The callback of createConnection. */
    this.onConnect = null;
    /** What tls-options.js has made of the TLS options; undefined for a connection in the clear. */
    this.secure = undefined;

    const delay = options.autoSelectFamilyAttemptTimeout ?? net.getDefaultAutoSelectFamilyAttemptTimeout();
    this.#dnsCacheTtl = toLimit(options.dnsCacheTtl ?? defaults.dnsCacheTtl, 'dnsCacheTtl');
    this.native = {
      agent: agentId,
      path: isPath ? options.path : undefined,
      host: this.isAddress ? this.host : domainToASCII(this.host) || this.host,
      port: this.port,
      family: this.family,
      hints: this.hints,
      order: dns.getDefaultResultOrder(),
      firstOnly: this.firstOnly,
      attemptDelay: Math.max(MIN_ATTEMPT_DELAY, delay),
      localAddress: options.localAddress || undefined,
      localPort: options.localPort || 0,
      noDelay: this.noDelay,
      keepAlive: this.keepAlive,
      connectTimeout: toLimit(options.connectTimeout ?? defaults.connectTimeout, 'connectTimeout'),
      deadPeer: toLimit(options.deadPeerTimeout ?? defaults.deadPeerTimeout, 'deadPeerTimeout'),
      ttl: toLimit(options.socketActiveTTL ?? defaults.socketActiveTTL, 'socketActiveTTL'),
      parse: process.env.OFFLOOP_PATH !== 'raw',
      readAhead: options.maxReadAheadBytes ?? defaults.maxReadAheadBytes,
      maxBuffered: defaults.maxBufferedBytes,
      maxReplay: options.maxReplayBytes ?? defaults.maxReplayBytes,
    };
  }

  /** Whether JavaScript has to be asked before each connect. */
  get isGuarded() {
    return (
      this.lookup !== undefined ||
      Boolean(this.blockList) ||
      (GUARDS_NETWORK && process.permission !== undefined)
    );
  }

  /** Starts what net.connect() starts at once: a lookup in JavaScript. Else the lane opens with this tick. */
  start(lane) {
    process.nextTick(noteGuards, this, lane);
    if (this.lookup === undefined && this.secure !== undefined) {
      // Behind the request's 'socket', whose listeners may listen for 'secureConnect', and guard by it.
      process.nextTick(process.nextTick, openLane, this, lane);
    } else if (this.lookup === undefined) process.nextTick(openLane, this, lane);
    else this.#resolve(lane, (addresses) => process.nextTick(openLane, this, lane, addresses));
  }

  /** Opens the lane with the listeners that it has now. Only a lookup in JavaScript takes its time. */
  startNow(lane) {
    noteGuards(this, lane);
    if (this.lookup === undefined) openLane(this, lane);
  }

  open(lane, addresses) {
    this.begun = true;
    if (addresses === undefined && (this.isGuarded || this.guards.includes('lookup'))) {
      this.#resolve(lane, (resolved) => this.#openWith(lane, resolved));
    } else {
      this.#openWith(lane, addresses);
    }
  }

  #openWith(lane, addresses) {
    lane._open(
      {
        resolver: this.#resolver(),
        attempt: this.guards.includes('connectionAttempt'),
        connect: this.guards.includes('connect'),
      },
      addresses,
      this.#isAskedOnce() ? this.#dnsCacheTtl : undefined,
    );
  }

  /** Whether what a lookup function said may serve other connects: nobody else wants to be asked each time. */
  #isAskedOnce() {
    const permission = GUARDS_NETWORK && process.permission !== undefined;
    return this.lookup !== undefined && !this.blockList && !permission && this.guards.length === 0;
  }

  /** The number of what has a say. Listeners and combinations belong to one lane alone. */
  #resolver() {
    const sayers = [this.lookup, this.blockList || undefined].filter(Boolean);
    if (GUARDS_NETWORK && process.permission !== undefined) sayers.push(PERMISSION);
    if (sayers.length === 0 && this.guards.length === 0) return 0;
    return sayers.length === 1 && this.guards.length === 0 ? resolverId(sayers[0]) : newResolverId();
  }

  /** The addresses for another connection of the lane, or undefined if it must not have one. */
  resolveAgain(lane, callback) {
    // The callback of createConnection is asked for each connection, as it was for the first.
    const { onConnect } = this;
    if (onConnect && !lane.listeners('connect').includes(onConnect)) lane.once('connect', onConnect);
    if (isNetworkDenied()) callback(undefined);
    else if (this.guards.some((name) => lane.listenerCount(name) === 0)) callback(undefined);
    else {
      try {
        this.#resolve(lane, callback, (error) => callback(undefined, error));
      } catch (error) {
        callback(undefined, error); // There is no caller of net.connect() here that could catch it.
      }
    }
  }

  /** Resolves the name in JavaScript, as net.connect() does, with its events and its errors. */
  #resolve(lane, done, failed = (error) => process.nextTick(() => lane._refuse(error))) {
    if (this.native.path !== undefined) {
      done([]);
      return;
    }
    if (this.isAddress) {
      this.#admit([this.host], done, failed);
      return;
    }
    const all = !this.firstOnly;
    const lookup = this.lookup ?? dns.lookup;
    const query = { family: this.askedFamily, hints: this.hints, ...(all && { all }) };
    lookup(this.host, query, (error, address, family) => {
      lane._inContext(() => {
        if (lane.destroyed) return;
        const found = all && !error ? address : [{ address, family }];
        for (const one of found) {
          lane.emit('lookup', error, one.address, one.family, this.host);
          if (lane.destroyed) return;
        }
        const invalid = error ?? invalidAddress(found, this);
        if (invalid) failed(invalid);
        else
          this.#admit(
            found.filter(isValid).map((one) => one.address),
            done,
            failed,
          );
      });
    });
  }

  #admit(addresses, done, failed) {
    const allowed = addresses.filter((address) => !this.blockList?.check(address, `ipv${net.isIP(address)}`));
    if (allowed.length > 0) done(allowed);
    else failed(errors.coded(Error, 'ERR_IP_BLOCKED', `IP(${addresses[0]}) is blocked by net.BlockList`));
  }
}

/**
 * Takes down the listeners that came with createConnection. Later ones are no guards: a lookup may take
 * its time, and requests wait for 'connect' too.
 */
function noteGuards(plan, lane) {
  plan.guards ??= ['lookup', 'connectionAttempt', 'connect'].filter((name) => lane.listenerCount(name) > 0);
}

function openLane(plan, lane, addresses) {
  if (!lane.destroyed && !plan.begun) plan.open(lane, addresses);
}

function isValid({ address, family }) {
  return isAddress(address) && (family === 4 || family === 6);
}

/** Addresses with an IPv6 zone are beyond the native side. */
function isAddress(address) {
  return net.isIP(address) !== 0 && !address.includes('%');
}

/** The error for a lookup that gave nothing to connect to. */
function invalidAddress(found, { host, port }) {
  if (found.some(isValid)) return undefined;
  const [{ address, family } = {}] = found;
  if (!isAddress(address)) {
    return errors.coded(TypeError, 'ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${address}`);
  }
  const message = `Invalid address family: ${family} ${host}:${port}`;
  return Object.assign(errors.coded(RangeError, 'ERR_INVALID_ADDRESS_FAMILY', message), { host, port });
}

/** A time in ms as the native side takes it; 0 and Infinity are no limit. Options may change while the agent runs. */
function toLimit(value, name) {
  const ms = value == null ? 0 : toDuration(value, `options.${name}`);
  return ms > 0 && ms < MAX_DELAY ? Math.ceil(ms) : undefined;
}

module.exports = { Plan, nodeReason, normalizeArgs };
