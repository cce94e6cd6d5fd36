'use strict';

// What is known of a TLS connection: read from the report of src/tls/secured.rs.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const Security = require('../lib/tls/security');

const FACTS = 'TLSv1_3\tTLS13_AES_128_GCM_SHA256\tX25519\t';

/** `facts`: those that may be others on each connection. */
function report(facts, certificates) {
  const parts = certificates.flatMap((der) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(der.length);
    return [length, der];
  });
  return Buffer.concat([Buffer.from(`${FACTS}${facts}\t\t1\n`), ...parts]);
}

test('connections to one destination have the same certificates together', () => {
  const [one, other] = [Buffer.from('one'), Buffer.from('another')];
  const [destination, elsewhere] = [{}, {}];
  const first = new Security(destination, report('\t0', [one, other]));
  const resumed = new Security(destination, report('h2\t1', [one, other]));
  assert.deepEqual(
    [first.isResumed, first.alpn, resumed.isResumed, resumed.alpn],
    [false, false, true, 'h2'],
  );
  assert.deepEqual(first.leaf, one);
  assert.equal(resumed.leaf, first.leaf);
  assert.notEqual(new Security(elsewhere, report('\t0', [one, other])).leaf, first.leaf);

  const renewed = new Security(destination, report('\t0', [other]));
  assert.deepEqual([renewed.leaf, first.leaf], [other, one]);
});
