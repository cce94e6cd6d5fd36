'use strict';

// Why the connection of a lane is gone, and what the errors of its request say of that (docs/errors.md).

const {
  addressesOf,
  explain,
  explainLater,
  isExplained,
  isResent,
  parse,
  reasonIn,
} = require('../request/facts');
const { NOTHING_LEFT } = require('../crossing/account');
const { closeReason } = require('../crossing/records');

class Ending {
  #parts;
  #reason;
  /** Whether the program has destroyed the lane with an error of its own. */
  #byProgram = false;
  /** What Rust has said of the loss. */
  #facts = '';
  /** What it has yet to say. */
  #account;

  constructor(parts) {
    this.#parts = parts;
  }

  /** Why the connection is gone, if that is known; a number (records.js). */
  get reason() {
    return this.#reason;
  }

  /** It is known on this side, before the lane is destroyed. */
  note(reason) {
    this.#reason = reason;
  }

  /** It is lost, and this is what is known of that: rows as those of Rust, the number of the reason first. */
  lose(facts) {
    this.#facts = facts;
    this.#reason = reasonIn(facts);
    if (this.isUnfinished) this.#explainErrors();
  }

  /**
   * The lane is destroyed, and its connection is closed as `flags` say. `agentIsEnding`, `timeout` (the reason, if it has
   * run into one), `isRefused` (Node could not read what has come) and `hasSurplus` (that is more than the response) say why,
   * if nothing else does.
   */
  begin(error, circumstances, flags) {
    const { place } = this.#parts;
    const mayKnowMore = this.#mayKnowMore();
    this.#byProgram = Boolean(error) && this.#reason === undefined;
    this.#reason ??= this.#whyDestroyed(circumstances);
    // Else there is no error that could say so.
    const isTold = this.isUnfinished || Boolean(error) || circumstances.isRefused;
    if (isTold && this.#hasSentNothing()) this.#facts = NOTHING_LEFT;
    else if (isTold && mayKnowMore)
      this.#account = place.close(this.#reason, flags, (facts) => this.#hear(facts, error));
    place.leave(this.#reason, flags);
    if (isTold) this.#explainErrors();
    if (error && this.#account === undefined) this.#explain(error);
  }

  /** Whether Rust may know more of the request than it has told: it connects and sends before JavaScript hears of it. */
  #mayKnowMore() {
    const { connection, place } = this.#parts;
    if (place.isLeft || this.#facts !== '') return false;
    return connection.isEstablished || (place.isOpened && this.#reason === undefined);
  }

  /** Whether nothing of its request can have left. */
  #hasSentNothing() {
    const { exchange, parking, place } = this.#parts;
    if (place.isLeft || this.#facts !== '') return false;
    // The request that is about to get it has not begun: what is known is of the one before.
    if (parking.isParked) return true;
    return !place.isOpened && !exchange.isUnopened;
  }

  #hear(facts, error) {
    this.#account = undefined;
    this.#facts = facts ?? '';
    if (isResent(this.#facts)) this.#parts.exchange.noteResent();
    if (error) this.#explain(error);
  }

  /**
   * The request was destroyed before it was written, and the lane goes back into the pool; or the lane was destroyed before
   * the request came to it. `sent`: what is known of one that has left while it waited, which the lane could not know.
   */
  explainWithoutLane(request, sent) {
    if (isExplained(request) && sent === undefined) return;
    const isKnown = this.#reason !== undefined && this.#reason !== closeReason.NOT_KEPT;
    const reason = isKnown ? this.#reason : closeReason.ABORTED;
    const facts = { path: 'raw', reused: request.reusedSocket, ...parse(sent ?? NOTHING_LEFT) };
    explainLater(request, (error) => explain(error, reason, facts, !isPrograms(error, reason)));
  }

  /** Whether a request is on the lane whose response has not come whole. */
  get isUnfinished() {
    const request = this.#parts.lane._request;
    return request !== null && !request.res?.complete;
  }

  #whyDestroyed({ agentIsEnding, timeout, isRefused, hasSurplus }) {
    if (agentIsEnding) return closeReason.AGENT_DESTROYED;
    if (this.isUnfinished) return timeout ?? (isRefused ? closeReason.INVALID_RESPONSE : closeReason.ABORTED);
    if (hasSurplus || isRefused) return closeReason.UNEXPECTED_DATA;
    return this.#byProgram ? (timeout ?? closeReason.ABORTED) : closeReason.NOT_KEPT;
  }

  #explainErrors() {
    const request = this.#parts.lane._request;
    if (request === null || isExplained(request)) return;
    explainLater(request, (error) => this.#explain(error));
  }

  #explain(error) {
    const isOurs = !this.#byProgram && !isPrograms(error, this.#reason);
    explain(error, this.#reason, this.#connection(), isOurs);
  }

  #connection() {
    this.#account?.take();
    const { retry, ...facts } = parse(this.#facts);
    return {
      path: this.#parts.lane._nodeSocket === undefined ? 'raw' : 'node',
      reused: this.#parts.lane._request?.reusedSocket ?? false,
      ...facts,
      ...addressesOf(this.#parts.lane),
      ...(retry !== undefined && { retry }),
    };
  }
}

/** Whether an error that comes with the end of a request is the program's: Node has but one for that. */
function isPrograms({ code }, reason) {
  return reason === closeReason.ABORTED && code !== 'ECONNRESET';
}

module.exports = Ending;
