'use strict';

// What the servers answer with, and what the cases expect to read.
module.exports = {
  /** To any request but those below. */
  SMALL: 'Hello, world!',
  /** GET /bytes/<n> is answered with n bytes, of these n. */
  SIZES: [64 * 1024, 64 * 1024 * 1024],
  /** /arrival, of our own server only: digits of the time at which the request had come, in µs of CLOCK_MONOTONIC. */
  ARRIVAL: 20,
  /** How many ports it listens on: to an agent each is another origin. One to warm up with, and a hundred. */
  PORTS: 101,
};
