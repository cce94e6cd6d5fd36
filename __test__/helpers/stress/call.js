'use strict';

// One request of a stress run: what its caller does with it, by its plan, and what he sees of it.

const { block, now } = require('../blocked');
const { answerBody } = require('../composed-answer');
const { headersOf, writeBody } = require('./body');
const { Deliberate, read } = require('./read');
const { Tunnel, headersOfTunnel } = require('./tunnel');

/** ms after which a caller gives up a request whose handler has thrown: nobody can say what becomes of it. */
const GIVE_UP = 30;
/** What requests are destroyed with. */
class Given extends Error {}

class Call {
  /** Whether its caller has ended it; so that what becomes of it is his own doing. */
  isAborted = false;
  /** Whether its agent was destroyed meanwhile. */
  isCut = false;
  /** What its handlers have thrown. */
  thrown = 0;
  responses = 0;
  /** By `X-Id`: whose answers to it were the informational ones. */
  interim = [];
  errors = [];
  closes = 0;
  /** Of the response: whose it is, and from which connection. */
  answer;
  port;
  /** Bytes of its body, whether each is right, and whether they are all. */
  received = 0;
  isRight = true;
  isWhole = false;
  trailers;
  /** What it has become, if the server has switched to another protocol. */
  tunnel;
  /** Whether, and when, all that it has begun is over: the request, its response, its tunnel. */
  isSettled = false;
  settled;
  over;
  /** What nobody must hold when all is over. */
  weak = [];

  #open = 1;
  #settle;
  #destroyAgent;
  #controller = new AbortController();
  #response;

  /** Makes the request. `make`: http.request or https.request; `target`: the agent, and the options of where it leads. */
  constructor(plan, make, target, destroyAgent) {
    this.plan = plan;
    this.#destroyAgent = destroyAgent;
    this.at = now();
    const { method, deeds, retry } = plan;
    const signal = deeds.some(({ how }) => how === 'signal') ? this.#controller.signal : undefined;
    const options = { ...target, method, retry, signal };
    this.request = make({ ...options, headers: headersFor(plan) });
    this.weak.push(new WeakRef(this.request));
    this.settled = new Promise((resolve) => (this.#settle = resolve));
    this.#listen();
    for (const deed of deeds) this.#prepare(deed);
    if (plan.body) writeBody(this.request, plan, (memory) => this.weak.push(new WeakRef(memory)));
    else this.request.end();
    for (const deed of deeds) if ('after' in deed && deed.after === undefined) this.#do(deed);
  }

  get id() {
    return this.plan.id;
  }

  /** From which port it went, as far as its caller can tell. */
  get localPort() {
    return this.port ?? this.errors[0]?.connection?.localPort ?? this.request.socket?.localPort;
  }

  #listen() {
    const { request } = this;
    request.on('close', () => {
      if (++this.closes === 1) this.#close();
      this.#reach('close');
    });
    // Who listens to this has the request go Node's way.
    if (this.plan.deeds.some(({ at }) => at === 'socket' || at === 'connect'))
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', () => this.#reach('connect'));
        this.#reach('socket');
      });
    request.on('finish', () => this.#reach('finish'));
    request.on('information', ({ statusCode, headers }) => {
      if (statusCode > 101) this.interim.push(headers['x-id']);
      this.#reach('information');
    });
    request.on('error', (error) => {
      this.errors.push(error);
      this.#reach('error');
    });
    if (this.plan.tunnel) this.#listenToSwitch();
    if (this.plan.read.way === 'dump') return;
    request.on('response', (response) => {
      this.responses++;
      this.weak.push(new WeakRef(response));
      // Where a handler throws, Node may tell nothing more of the response.
      if (this.plan.deeds.every(({ what }) => what !== 'throw')) {
        this.#open++;
        response.on('close', () => this.#close());
      }
      this.#take(response);
      this.#reach('response');
    });
  }

  #listenToSwitch() {
    for (const event of ['connect', 'upgrade'])
      this.request.on(event, (response, socket, head) => {
        this.responses++;
        this.#note(response, socket);
        this.#open++;
        this.tunnel = new Tunnel(this.plan, socket, head, () => this.#close());
        this.weak.push(new WeakRef(socket));
      });
  }

  #close() {
    if (--this.#open > 0) return;
    if (this.request.socket) this.weak.push(new WeakRef(this.request.socket));
    this.isSettled = true;
    this.over = now();
    this.#settle();
  }

  /** Whose response it is. */
  #note(response, socket) {
    // Of two, which the rules tell of, the first one.
    if (this.answer !== undefined) return;
    this.status = response.statusCode;
    this.answer = response.headers['x-id'];
    this.port = socket?.localPort;
  }

  #take(response) {
    this.#response = response;
    this.#note(response, response.socket);
    const right = this.answer === this.id ? answerBody(this.id, this.plan.answer.size) : undefined;
    const onData = (chunk) => {
      if (right && !right.subarray(this.received, this.received + chunk.length).equals(chunk))
        this.isRight = false;
      this.received += chunk.length;
      this.#reach('data');
    };
    response.on('error', () => {});
    response.on('end', () => {
      // Of a request that is destroyed Node throws away what is left.
      this.isWhole = response.complete && !this.isAborted;
      this.trailers = response.trailers;
      this.#reach('end');
    });
    read(response, this.plan.read, onData, () => this.#destroy('response'));
  }

  #prepare(deed) {
    if (deed.what === 'timeout') this.request.setTimeout(deed.ms, () => this.#destroy('request'));
    else if (deed.after !== undefined) later(deed.after, () => this.#do(deed));
  }

  /** A moment of the request is there. */
  #reach(moment) {
    for (const deed of this.plan.deeds) {
      if (deed.at !== moment || deed.isDone) continue;
      deed.isDone = true;
      this.#do(deed);
    }
  }

  #do(deed) {
    const { what, ms, inTick } = deed;
    switch (what) {
      case 'block':
        block(ms);
        break;
      case 'throw':
        this.thrown++;
        setTimeout(() => this.#destroy('request'), GIVE_UP);
        if (inTick)
          process.nextTick(() => {
            throw new Deliberate(this.id);
          });
        else throw new Deliberate(this.id);
        break;
      case 'destroy':
        this.giveUp(deed);
        break;
      case 'destroy-agent':
        this.isCut = true;
        this.#destroyAgent();
        break;
      default:
        throw new Error(`no such deed: ${what}`);
    }
  }

  /** Its caller destroys it, and computes `before` and `behind` that for so many ms. */
  giveUp({ how, before, behind }) {
    if (before !== undefined) block(before);
    this.#destroy(how);
    if (behind !== undefined) block(behind);
  }

  #destroy(how) {
    const { request } = this;
    // When it is over its socket is another's.
    const socket = this.closes === 0 ? request.socket : null;
    this.isAborted = true;
    if (how === 'signal') this.#controller.abort();
    else if (how === 'error') request.destroy(new Given(this.id));
    else if (how === 'socket' && socket) socket.destroy();
    // Over TLS there is no such thing.
    else if (how === 'reset' && socket && !socket.encrypted) socket.resetAndDestroy();
    else if (how === 'response' && this.#response) this.#response.destroy();
    else request.destroy();
  }
}

/** `after`: a turn of the loop, or so many ms. */
function later(after, act) {
  switch (after) {
    case 'microtask':
      queueMicrotask(act);
      break;
    case 'tick':
      process.nextTick(act);
      break;
    case 'ticks':
      // By then it has its socket, and has written to it.
      process.nextTick(() => process.nextTick(() => process.nextTick(act)));
      break;
    case 'immediate':
      setImmediate(act);
      break;
    default:
      setTimeout(act, after);
  }
}

function headersFor(plan) {
  return {
    'X-Id': plan.id,
    'X-Do': plan.acts.join(','),
    'X-Answer': JSON.stringify(plan.answer),
    ...(plan.then && { 'X-Then': plan.then }),
    ...(plan.key && { 'Idempotency-Key': plan.id }),
    ...(plan.stall && { 'X-Stall': plan.stall }),
    ...(plan.body && headersOf(plan)),
    ...(plan.tunnel && headersOfTunnel(plan)),
  };
}

module.exports = { Call, Given };
