'use strict';

// What the options of connections come to is decided once, and not for each connection: most of them have the same.
// While it is decided, all that is read is noted. Where the same is read again, from whatever objects, the same
// would be decided. So nothing can be forgotten that it depends on, and options may change at any time.

const { Content, isMutable } = require('../tls/option-content');

/** Decisions that are kept, the latest ones; a program that goes through many origins does not come back to most. */
const MAX_DECISIONS = 256;
/** And of those with the same key: a program may give other options each time. */
const MAX_OF_KEY = 8;

class Decisions {
  #byKey = new Map();
  #count = 0;

  /** `decide(...sources)`, or what it came to when it read the same of others. `key`: what mostly tells them apart. */
  of(key, sources, decide) {
    const known = this.#byKey.get(key)?.find((decision) => decision.holdsFor(sources));
    if (known !== undefined) return known.made;
    const decision = new Decision(sources, decide);
    if (decision.isKept) this.#keep(key, decision);
    return decision.made;
  }

  #keep(key, decision) {
    const list = this.#byKey.get(key) ?? [];
    // The key that was decided for last is forgotten last.
    this.#byKey.delete(key);
    this.#byKey.set(key, list);
    list.push(decision);
    this.#count++;
    if (list.length > MAX_OF_KEY) {
      list.shift();
      this.#count--;
    }
    while (this.#count > MAX_DECISIONS) {
      const [[oldest, { length }]] = this.#byKey;
      this.#byKey.delete(oldest);
      this.#count -= length;
    }
  }
}

class Decision {
  /** What was read, in that order (an answer may have been asked for only because of those before), and what it was. */
  #reads = [];
  #values = [];
  /** False if something was read that is not noted. */
  isKept = true;

  constructor(sources, decide) {
    this.made = decide(...sources.map((source, at) => this.#watched(source, at)));
  }

  holdsFor(sources) {
    const values = this.#values;
    return this.#reads.every(({ source, name, isTest }, at) => {
      const from = sources[source];
      return isAsNoted(values[at], name, isTest ? name in from : from[name]);
    });
  }

  #watched(object, source) {
    const note = (name, isTest, value) => {
      const read = readOf(source, name, isTest);
      if (this.#reads.includes(read)) return;
      this.#reads.push(read);
      this.#values.push(isMutable(value) ? Content.of(name, value).snapshot() : value);
    };
    return new Proxy(object, {
      get(target, name) {
        const value = target[name];
        note(name, false, value);
        return value;
      },
      has(target, name) {
        const value = name in target;
        note(name, true, value);
        return value;
      },
      ownKeys: (target) => {
        this.isKept = false;
        return Reflect.ownKeys(target);
      },
    });
  }
}

function isAsNoted(noted, name, value) {
  if (noted instanceof Content) return isMutable(value) && noted.equals(Content.of(name, value));
  return Object.is(noted, value);
}

/** There are few different ones, and decisions share them: by name, a table for each source and kind. */
const reads = [];

function readOf(source, name, isTest) {
  const table = (reads[source * 2 + Number(isTest)] ??= new Map());
  let read = table.get(name);
  if (read === undefined) table.set(name, (read = { source, name, isTest }));
  return read;
}

module.exports = { Decisions };
