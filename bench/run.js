'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { Child } = require('./child');
const { measureFailures } = require('./failures/run');
const { measureCost } = require('./measure');
const { describeMachine } = require('./neighbours');
const { USAGE, UsageError, readOptions } = require('./options');
const { draw, publish } = require('./publish/publish');
const { toJson } = require('./report');

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(USAGE);
  } else if (options.charts) {
    await draw();
  } else {
    await measure(options);
  }
}

async function measure(options) {
  const children = [];
  const start = (file, ...args) => {
    const child = new Child(path.join(__dirname, file), args);
    children.push(child);
    return child;
  };
  try {
    const report = await (options.failures ? measureFailures : measureCost)(
      options,
      start,
      describeMachine(),
    );
    if (options.json) fs.writeFileSync(options.json, toJson(report));
    if (options.publish) await publish(report);
    for (const problem of report.problems) console.log(`\n${problem}`);
    if (report.problems.length > 0) process.exitCode = 1;
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

main().catch((error) => {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else {
    console.error(error.message);
    process.exitCode = 1;
  }
});
