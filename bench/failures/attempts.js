'use strict';

const { DEADLINE } = require('./settings');

/** The failure that must not be. */
const MIXED_UP = 'the response to another request';

// The server has counted a request under its id, so the ids are never used again, in no slice.
let lastId = 0;

/** Makes requests and keeps account of one slice of them. */
class Attempts {
  #made = { opening: 0, trial: 0 };
  #failures = { opening: {}, trial: {} };
  #failedIds = [];

  /**
   * @param {'opening' | 'trial'} kind
   * @returns {Promise<boolean>} whether it was answered
   */
  async make(kind, send) {
    const id = ++lastId;
    this.#made[kind]++;
    try {
      const answered = await withDeadline(send(id));
      if (answered !== id) throw new Error(MIXED_UP);
      return true;
    } catch (error) {
      const text = describe(error);
      this.#failures[kind][text] = (this.#failures[kind][text] ?? 0) + 1;
      this.#failedIds.push(id);
      return false;
    }
  }

  result() {
    return {
      trials: this.#made.trial,
      openings: this.#made.opening,
      failures: this.#failures.trial,
      openingFailures: this.#failures.opening,
      failedIds: this.#failedIds,
    };
  }
}

function describe({ code, message }) {
  return typeof code === 'string' && !message.includes(code) ? `${code}: ${message}` : message;
}

function withDeadline(response) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${DEADLINE} ms`)), DEADLINE);
  });
  return Promise.race([response, deadline]).finally(() => clearTimeout(timer));
}

module.exports = { Attempts, MIXED_UP };
