'use strict';

/** The same numbers for the same seed, on every machine (mulberry32). */
class Random {
  #state;

  constructor(seed) {
    this.#state = seed | 0;
  }

  /** For one case of those of a seed. */
  static of(seed, number) {
    const random = new Random(Math.imul(seed, 0x9e3779b1) + number);
    // The first numbers of neighbouring seeds are alike.
    for (let i = 0; i < 4; i++) random.next();
    return random;
  }

  /** From 0 up to 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`. */
  int(least, most) {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** `count` of what `make` makes. */
  many(count, make) {
    return Array.from({ length: count }, (_, index) => make(index));
  }
}

module.exports = Random;
