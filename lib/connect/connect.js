'use strict';

// How a lane gets to its connection: by its route (route.js), and by what JavaScript has to say in it.

const dns = require('dns');
const net = require('net');

const errors = require('../errors');
const { identityOf, newIdentity } = require('../identity');
const process = require('../node/process');
const { opFlag } = require('../crossing/records');
const { asksPermission, isNetworkDenied } = require('./surroundings');

/** Stands for the permission model among what has a say. */
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

class Plan {
  /** The events whose listeners guard each connection, and `WRITTEN`. */
  guards = undefined;
  /** The lane connects, or is not to. */
  begun = false;
  /** The callback of createConnection. */
  onConnect = null;

  constructor(route) {
    this.route = route;
  }

  /** Whether JavaScript has to be asked before each connect. */
  get isGuarded() {
    const { lookup, blockList } = this.route;
    return lookup !== undefined || Boolean(blockList) || asksPermission();
  }

  /** Starts what net.connect() starts at once: a lookup in JavaScript. Else the lane opens with this tick. */
  start(lane) {
    process.nextTick(noteGuards, this, lane);
    const { host, isAddress, lookup, secure } = this.route;
    // Node's name for what it looks up.
    if (!isAddress) lane._host = host;
    if (lookup === undefined && secure !== undefined) {
      // Behind the request's 'socket', whose listeners may listen for 'secureConnect', and guard by it.
      process.nextTick(process.nextTick, openLane, this, lane);
    } else if (lookup === undefined) process.nextTick(openLane, this, lane);
    else this.#resolve(lane, (addresses) => process.nextTick(openLane, this, lane, addresses));
  }

  /** Opens the lane with the listeners that it has now. Only a lookup in JavaScript takes its time. */
  startNow(lane) {
    noteGuards(this, lane);
    if (this.route.lookup === undefined) openLane(this, lane);
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
    let flags = 0;
    if (this.guards.includes('lookup')) flags |= opFlag.GUARD_LOOKUP;
    if (this.guards.includes('connectionAttempt')) flags |= opFlag.GUARD_ATTEMPT;
    if (this.guards.includes('connect') || this.guards.includes(WRITTEN)) flags |= opFlag.GUARD_CONNECT;
    lane._open(this.#resolver(), flags, addresses, this.#isAskedOnce() ? this.route.dnsCacheTtl : undefined);
  }

  /** Whether what a lookup function said may serve other connects: nobody else wants to be asked each time. */
  #isAskedOnce() {
    const { lookup, blockList } = this.route;
    return lookup !== undefined && !blockList && !asksPermission() && this.guards.length === 0;
  }

  /** The number of what has a say. Listeners and combinations belong to one lane alone. */
  #resolver() {
    const { lookup, blockList } = this.route;
    if (!this.isGuarded && this.guards.length === 0) return 0;
    const sayers = [lookup, blockList || undefined, asksPermission() ? PERMISSION : undefined].filter(
      Boolean,
    );
    return sayers.length === 1 && this.guards.length === 0 ? identityOf(sayers[0]) : newIdentity();
  }

  /** The addresses for another connection of the lane, or undefined if it must not have one. */
  resolveAgain(lane, callback) {
    // The callback of createConnection is asked for each connection, as it was for the first.
    const { onConnect } = this;
    if (onConnect && !lane.listeners('connect').includes(onConnect)) lane.once('connect', onConnect);
    if (isNetworkDenied()) callback(undefined);
    else if (this.guards.some((name) => mayNotPass(name, lane))) callback(undefined);
    else {
      try {
        this.#resolve(lane, callback, (error) => callback(undefined, error));
      } catch (error) {
        callback(undefined, error); // There is no caller of net.connect() here that could catch it.
      }
    }
  }

  /** The addresses for a connection that is not the lane's, or undefined if there must be none. */
  resolveUnheard(lane, callback) {
    const refused = () => callback(undefined);
    if (isNetworkDenied()) refused();
    else {
      try {
        this.#resolve(lane, callback, refused, () => true);
      } catch {
        refused();
      }
    }
  }

  /**
   * Resolves the name in JavaScript, as net.connect() does, with its events and its errors. `tell` tells of what was
   * found; whether it is still wanted then.
   */
  #resolve(
    lane,
    done,
    failed = (error) => process.nextTick(() => lane._refuse(error)),
    tell = (error, found) => tellOfLookup(lane, error, found, this.route.host),
  ) {
    const { host, hints, askedFamily, firstOnly, isAddress, native } = this.route;
    if (native.path !== undefined) {
      done([]);
      return;
    }
    if (isAddress) {
      this.#admit([host], done, failed);
      return;
    }
    const all = !firstOnly;
    const lookup = this.route.lookup ?? dns.lookup;
    const query = { family: askedFamily, hints, ...(all && { all }) };
    answerLater(lookup, host, query, (error, address, family) => {
      lane._inContext(() => {
        // A function that does not know of `all` has no list to give.
        const list = Array.isArray(address) ? address : [];
        const found = all && !error ? list : [{ address, family }];
        if (!tell(error, found)) return;
        const invalid = error ?? invalidAddress(found, this.route);
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
    const { blockList } = this.route;
    const allowed = addresses.filter((address) => !blockList?.check(address, `ipv${net.isIP(address)}`));
    if (allowed.length > 0) done(allowed);
    else failed(errors.coded(Error, 'ERR_IP_BLOCKED', `IP(${addresses[0]}) is blocked by net.BlockList`));
  }
}

const GUARDS = ['lookup', 'connectionAttempt', 'connect'];
/**
 * Stands for a guard that lets no other connection pass: the program has written to the lane before it had a request (the
 * header of the PROXY protocol, say), which no other connection would begin with.
 */
const WRITTEN = 'written';
/** Of most lanes: they need no list of their own. */
const UNGUARDED = Object.freeze([]);

/**
 * Takes down the listeners that came with createConnection. Later ones are no guards: a lookup may take
 * its time, and requests wait for 'connect' too.
 */
function noteGuards(plan, lane) {
  if (plan.guards !== undefined) return;
  const guards = GUARDS.filter((name) => lane.listenerCount(name) > 0);
  if (lane.bytesWritten > 0) guards.push(WRITTEN);
  plan.guards = guards.length > 0 ? guards : UNGUARDED;
}

/** Whether a guard of the lane lets no connection pass; what is written waits for the first one. */
function mayNotPass(guard, lane) {
  return guard === WRITTEN ? !lane.connecting : lane.listenerCount(guard) === 0;
}

function openLane(plan, lane, addresses) {
  if (!lane.destroyed && !plan.begun) plan.open(lane, addresses);
}

/**
 * Calls `lookup`. If it answers at once, that is told of behind the request's 'socket': who waits for 'lookup' from there
 * on, as got does, would wait in vain, and unlike a net.Socket the lane has no local address yet, by which to tell.
 */
function answerLater(lookup, host, query, callback) {
  let isAtOnce = true;
  lookup(host, query, (...answer) => {
    if (isAtOnce) process.nextTick(process.nextTick, callback, ...answer);
    else callback(...answer);
  });
  isAtOnce = false;
}

/** Whether the lane still wants to be connected. */
function tellOfLookup(lane, error, found, host) {
  if (lane.destroyed) return false;
  for (const { address, family } of found) {
    lane._connection.ask(() => lane.emit('lookup', error, address, family, host));
    if (lane.destroyed) return false;
  }
  return true;
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

module.exports = { Plan, normalizeArgs };
