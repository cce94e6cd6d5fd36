// Judges a run of the incident lab:  node incidents.mjs <results.json> <incident>...
// No variant of the named incidents may show a violation, with one exception.
import fs from 'node:fs';

const [resultsFile, ...wanted] = process.argv.slice(2);
const { results } = JSON.parse(fs.readFileSync(resultsFile, 'utf8'));

// A POST that crosses the server's close on the wire cannot be saved, only its error be told, and on a
// busy machine the lab's clocks do not always show that the two crossed. Printed, but not counted.
const excused = (r) => ['keepalive-race', 'tls'].includes(r.incident) && / POST$/.test(r.variant);

const ran = results.filter((r) => !r.skipped && wanted.includes(r.incident));
const violated = ran.filter((r) => r.violations.length > 0);
const failed = violated.filter((r) => !excused(r));
// Where no network namespace can be made some are skipped whole, and say so.
const absent = wanted.filter((name) => !results.some((r) => r.incident === name));

for (const r of results.filter((x) => x.skipped))
  console.log(`skipped ${r.incident} / ${r.variant}: ${r.skipped}`);
for (const r of violated) {
  const label = excused(r) ? 'excused' : 'FAIL';
  console.log(
    `${label} ${r.incident} / ${r.variant}: ${r.violations.join('; ')} ${JSON.stringify(r.errors)}`,
  );
}
for (const name of absent) console.log(`FAIL ${name}: none of its variants ran`);
const failures = failed.length + absent.length;
console.log(`${ran.length - violated.length} passed, ${failures} failed`);
process.exitCode = failures ? 1 : 0;
