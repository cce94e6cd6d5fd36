// Judges a run of Node's own tests:  node node-suite.mjs <results.json> <known failures> <least number passed>
// Every failure has to be a known one, every known one has to fail, and enough have to pass.
import fs from 'node:fs';

const [resultsFile, knownFile, least] = process.argv.slice(2);
const results = JSON.parse(fs.readFileSync(resultsFile, 'utf8'));
const known = new Set(
  fs
    .readFileSync(knownFile, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean),
);

const named = (verdict) => results.filter((r) => verdict(r.verdict)).map((r) => r.name);
const failed = new Set(named((v) => v === 'fail'));
// A flaky one failed beside others and passed alone: no reason to keep it as known.
const passed = new Set(named((v) => v === 'pass' || v === 'flaky'));

const problems = [
  ...[...failed].filter((name) => !known.has(name)).map((name) => `${name} fails and is not known to`),
  ...[...known].filter((name) => passed.has(name)).map((name) => `${name} passes: remove it from the list`),
  ...[...known].filter((name) => !results.some((r) => r.name === name)).map((name) => `${name} was not run`),
];
if (passed.size < Number(least)) problems.push(`${passed.size} passed, which is fewer than ${least}`);

for (const problem of problems) console.log(`FAIL ${problem}`);
console.log(`${known.size} known failures`);
console.log(`${passed.size} passed, ${problems.length} failed`);
process.exitCode = problems.length ? 1 : 0;
