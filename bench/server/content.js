'use strict';

// What both servers answer with, and what the cases expect to read.
module.exports = { SMALL: 'Hello, world!' };
