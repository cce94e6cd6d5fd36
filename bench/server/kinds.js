'use strict';

// In order of preference. nginx first: it is what stands in front of most services. Either is much faster than a
// server in Node would be, so that the client is what limits the figures.
module.exports = { KINDS: ['nginx', 'own'] };
