'use strict';

// The process of Node itself. Test runners load programs into contexts of their own, with a copy of `process` there:
// its nextTick() may be a clock that stands still, and its environment is not the one that Node reads. Node's own
// code never sees that copy, so neither may what stands in for a part of Node.

const { runInThisContext } = require('vm');

// "This" context is Node's main one, whichever the caller is in.
module.exports = runInThisContext('process');
