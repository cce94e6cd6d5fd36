'use strict';

// A client and a server in network namespaces of their own (Linux, root), and a wire between them on which
// single flows can be lost without a trace, as by a switch that fails.

const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { RawServer } = require('./blocked');
const { authority } = require('./x509');

/** ms. Longer than anything here takes on a busy machine. */
const PATIENCE = 15_000;

const CLIENT = { address: '10.77.0.1', device: 'wire0' };
const SERVER = { address: '10.77.0.2', device: 'wire1' };

function ip(...args) {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`);
}

/** The kernel's table of the TCP sockets in a namespace; without `-i` a line each: what is queued comes first. */
function sockets(name, ...selection) {
  const { stdout } = spawnSync('ip', ['netns', 'exec', name, 'ss', '-Htn', ...selection], {
    encoding: 'utf8',
  });
  return stdout;
}

class Network {
  #client = `offloop-${process.pid}-c`;
  #server = `offloop-${process.pid}-s`;
  #lost = [];
  #host = SERVER.address;
  #process;
  #number = 0;
  #ca;
  #calls = new Map();

  /**
   * Makes the namespaces and starts both sides, which speak TLS if a version is given; undefined, and the test
   * is skipped, where that cannot be.
   */
  static async make(t, version) {
    const network = new Network();
    t.after(() => network.#end());
    try {
      network.#connect();
    } catch (error) {
      t.skip(`network namespaces cannot be made here: ${error.message}`);
      return undefined;
    }
    const inside = (name) => ['ip', 'netns', 'exec', name];
    let tls;
    if (version !== undefined) {
      const root = authority('Root');
      const { key, cert } = root.server([`ip:${SERVER.address}`]);
      network.#ca = root.cert;
      tls = { identities: { right: { key, cert } }, maxVersion: version };
    }
    network.server = await RawServer.start(tls, {
      prefix: inside(network.#server),
      host: SERVER.address,
    });
    t.after(() => network.server.stop());
    const [command, ...args] = inside(network.#client);
    const script = path.join(__dirname, 'network-client.js');
    network.#process = spawn(command, [...args, process.execPath, script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(network.#process, 'message');
    network.#process.on('message', ({ number, ...answer }) => network.#calls.get(number)(answer));
    return network;
  }

  #connect() {
    for (const name of [this.#client, this.#server]) ip('netns', 'add', name);
    ip(
      '-n',
      this.#client,
      'link',
      'add',
      CLIENT.device,
      'type',
      'veth',
      'peer',
      'name',
      SERVER.device,
      'netns',
      this.#server,
    );
    for (const [name, { address, device }] of [
      [this.#client, CLIENT],
      [this.#server, SERVER],
    ]) {
      ip('-n', name, 'link', 'set', 'lo', 'up');
      ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', device);
      ip('-n', name, 'link', 'set', device, 'up');
      // Rules that lose something come before the one that receives.
      ip('-n', name, 'rule', 'add', 'pref', '100', 'lookup', 'local');
      ip('-n', name, 'rule', 'del', 'pref', '0');
    }
  }

  #rule(action, name, device, ...selector) {
    ip('-n', name, 'rule', action, 'pref', '10', 'iif', device, 'ipproto', 'tcp', ...selector, 'blackhole');
  }

  /** What the client sends from these ports (all: none given) is lost on its way to the server. */
  loseRequests(...ports) {
    this.#lose(this.#server, SERVER.device, 'sport', ports);
  }

  /** What the server sends to these ports of the client is lost. */
  loseResponses(...ports) {
    this.#lose(this.#client, CLIENT.device, 'dport', ports);
  }

  #lose(name, device, kind, ports) {
    const selectors = ports.length > 0 ? ports.map((port) => [kind, String(port)]) : [[]];
    for (const selector of selectors) {
      this.#rule('add', name, device, ...selector);
      this.#lost.push([name, device, ...selector]);
    }
  }

  /** Nothing is lost any more. */
  heal() {
    for (const lost of this.#lost.splice(0)) this.#rule('del', ...lost);
  }

  /** What the server sends arrives again. */
  healResponses() {
    const [client, server] = [true, false].map((own) =>
      this.#lost.filter(([name]) => (name === this.#client) === own),
    );
    for (const lost of client) this.#rule('del', ...lost);
    this.#lost = server;
  }

  /** Waits until a function of network-client.js returns true there. */
  async until(name, ...args) {
    const end = performance.now() + PATIENCE;
    while (!(await this.call(name, ...args))) {
      if (performance.now() > end) throw new Error(`not ${name} ${args}\n${this.#sockets()}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /**
   * Waits until the server's kernel knows that all it has sent has come. If what tells it that is lost, it sends this
   * again, and what follows, an end too, waits for that.
   */
  async untilAcknowledged() {
    const end = performance.now() + PATIENCE;
    const isOpen = () =>
      sockets(this.#server, 'state', 'established')
        .split('\n')
        .some((line) => Number(line.trim().split(/\s+/)[1]) > 0);
    while (isOpen()) {
      if (performance.now() > end) throw new Error(`not acknowledged\n${this.#sockets()}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** What the kernels have of the connections, their timers and queues among it. */
  #sockets() {
    return [this.#client, this.#server].map((name) => sockets(name, '-oia')).join('\n');
  }

  /** Calls a function of network-client.js there. */
  call(name, ...args) {
    const [result] = this.#callAll([[name, ...args]]);
    return result;
  }

  /** Calls them in one tick there. */
  #callAll(calls) {
    const messages = [];
    const results = calls.map(async ([name, ...args]) => {
      const number = ++this.#number;
      messages.push({ number, name, args });
      const { error, result } = await new Promise((resolve) => this.#calls.set(number, resolve));
      if (error) throw new Error(error);
      return result;
    });
    this.#process.send(messages);
    return results;
  }

  /** Gives the client a new agent. `isAsked`: it has a `lookup` function, and requests go to a name. */
  agent({ isAsked = false, ...options }) {
    this.#host = isAsked ? 'server.test' : SERVER.address;
    return this.call('agent', isAsked ? { resolvesTo: SERVER.address, ...options } : options, this.#ca);
  }

  /** Sends a request from there. */
  send(options) {
    const [result] = this.sendAll(options);
    return result;
  }

  /** Sends requests in one tick: nothing is known of one when the next is sent. */
  sendAll(...list) {
    const { port, isSecure } = this.server;
    const to = { host: this.#host, port, isSecure };
    return this.#callAll(list.map((options) => ['send', { ...to, ...options }]));
  }

  /** Begins a request from there on a connection of its own, of which nothing is sent before `call('end')`. */
  connect(id) {
    return this.call('connect', { host: SERVER.address, port: this.server.port, id });
  }

  #end() {
    this.#process?.disconnect();
    for (const name of [this.#client, this.#server]) spawnSync('ip', ['netns', 'del', name]);
  }
}

module.exports = { Network };
