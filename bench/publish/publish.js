'use strict';

const fs = require('node:fs');
const path = require('node:path');

const { CHARTS, render } = require('./charts');
const { BLOCKS, replaceBlock } = require('./blocks');
const { toJson } = require('../report');

// The figures are committed, and so everything that is drawn or written from them can be made again without measuring.

const ROOT = path.join(__dirname, '..', '..');
const FOLDER = path.join(ROOT, 'docs', 'benchmarks');
const RESULTS = path.join(FOLDER, 'results.json');

/** Puts a run's figures in the place of those that were there. */
async function publish(report) {
  fs.mkdirSync(FOLDER, { recursive: true });
  await write(RESULTS, toJson(report));
  await draw();
}

/** Charts and tables of the documents, from the figures that are there. */
async function draw() {
  const report = JSON.parse(fs.readFileSync(RESULTS, 'utf8'));
  for (const [name, chart] of Object.entries(CHARTS)) {
    fs.writeFileSync(path.join(FOLDER, `${name}.svg`), render(chart(report)));
  }
  for (const [document, blocks] of Object.entries(BLOCKS)) {
    const file = path.join(ROOT, document);
    let text = fs.readFileSync(file, 'utf8');
    for (const [name, block] of Object.entries(blocks)) text = replaceBlock(text, name, block(report));
    await write(file, text);
  }
}

/** As the repository formats such a file. */
async function write(file, text) {
  const prettier = require('prettier');
  const options = await prettier.resolveConfig(file);
  fs.writeFileSync(file, await prettier.format(text, { ...options, filepath: file }));
}

module.exports = { draw, publish };
