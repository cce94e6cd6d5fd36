'use strict';

// The processes of the demo: the server's, and one per agent. Each ends when its channel to this one does.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const settings = require('./settings');

/** How long a process may take to end when it is told to, ms. */
const LEAVING_TIME = 5_000;

/** Starts the server; resolves when it listens. */
async function startServer() {
  const child = fork(path.join(__dirname, 'server.js'));
  const { port } = await nextMessage(child, 'listening', 10_000);
  return {
    port,
    /** What the server has seen since the last call. */
    async takeLog() {
      child.send({ type: 'take-log' });
      return (await nextMessage(child, 'log', 10_000)).log;
    },
    stop() {
      if (child.connected) child.disconnect();
    },
  };
}

/**
 * Runs a workload through one agent, in a process of its own.
 * @param {(text: string) => void} onPhase
 * @returns {Promise<{ records: object[], stalls: { start: number, end: number }[] }>}
 */
async function runWorkload(name, job, onPhase) {
  const child = fork(path.join(__dirname, 'client.js'), [name, JSON.stringify(job)]);
  child.on('message', (message) => {
    if (message.type === 'phase') onPhase(message.text);
  });
  const exited = once(child, 'exit');
  try {
    // A job against a user's server has two stalls, each followed by requests that may run to their deadline.
    const deadline =
      job.kind === 'url' ? 2 * (job.stall + 3 * settings.requestDeadline) : settings.workloadDeadline;
    const { records, stalls } = await nextMessage(child, 'result', deadline);
    const lingers = setTimeout(() => child.kill('SIGKILL'), LEAVING_TIME);
    child.disconnect();
    const [, signal] = await exited;
    clearTimeout(lingers);
    if (signal) throw new Error(`its process did not end within ${LEAVING_TIME} ms, or crashed (${signal})`);
    return { records, stalls };
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${name}: ${error.message}`, { cause: error });
  }
}

/** The child's next message of this type; rejects if it ends, or takes longer than `deadline` ms. */
function nextMessage(child, type, deadline) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(reject, new Error(`no ${type} after ${deadline} ms`)), deadline);
    const onMessage = (message) => {
      if (message.type === type) settle(resolve, message);
      if (message.type === 'error') settle(reject, new Error(message.text));
    };
    const onExit = (code, signal) => {
      settle(reject, new Error(`the process ended before its ${type} (${signal ?? `exit code ${code}`})`));
    };
    function settle(how, value) {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      how(value);
    }
    child.on('message', onMessage);
    child.on('exit', onExit);
  });
}

/** Rejects with a clear message if nothing listens at the url: no agent is to be blamed for that. */
async function checkReachable(url) {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port || 80);
  const socket = net.connect({ host, port });
  socket.setTimeout(5_000, () => socket.destroy(new Error('no connection within 5 s')));
  try {
    await once(socket, 'connect');
  } catch (error) {
    throw new Error(`cannot connect to ${url.host}: ${error.message || error.code}`, { cause: error });
  } finally {
    socket.destroy();
  }
}

module.exports = { checkReachable, runWorkload, startServer };
