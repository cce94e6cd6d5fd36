'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');

// Questions to a child process, one at a time, over Node's own channel; both ends of it are here.

const EXIT_GRACE = 2000; // ms

/** No question takes this long: a child that has not answered by then never will. In ms. */
const ANSWER_LIMIT = 180_000;

/** The parent's end. */
class Child {
  #process;
  #exited;

  constructor(file, args = [], nodeOptions = []) {
    this.#process = fork(file, args, { execArgv: [...process.execArgv, ...nodeOptions] });
    this.#exited = once(this.#process, 'exit');
  }

  /** Rejects with the child's own error, or if it exits first. */
  ask(method, ...args) {
    const child = this.#process;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), ANSWER_LIMIT);
      const onExit = (code, signal) => {
        clearTimeout(timer);
        child.off('message', onMessage);
        reject(
          new Error(`${child.spawnargs.slice(1).join(' ')} exited (${signal ?? code}) before it answered`),
        );
      };
      const onMessage = ({ value, error }) => {
        clearTimeout(timer);
        child.off('exit', onExit);
        if (error === undefined) resolve(value);
        else reject(new Error(error));
      };
      if (!child.connected) {
        onExit(child.exitCode, child.signalCode);
        return;
      }
      child.once('exit', onExit);
      child.once('message', onMessage);
      child.send({ method, args });
    });
  }

  async stop() {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), EXIT_GRACE);
    await this.#exited;
    clearTimeout(timer);
  }
}

/** The child's end. The channel closes when the parent stops it, and also when the parent dies. */
function answer(handlers) {
  process.on('disconnect', () => process.exit());
  process.on('message', async ({ method, args }) => {
    let reply;
    try {
      reply = { value: await handlers[method](...args) };
    } catch (error) {
      reply = { error: error.message };
    }
    if (process.connected) process.send(reply);
  });
}

module.exports = { Child, answer };
