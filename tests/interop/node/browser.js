// As much of a browser as the Player SDK needs to hand a stream to its worker, and nothing that reaches a network.
'use strict';

const net = require('node:net');

/** What the SDK has done: the workers that it started, each with what it was told, and each try to reach a network. */
const seen = { workers: [], reached: [] };

class Worker {
  constructor() {
    this.posted = [];
    seen.workers.push(this);
  }

  postMessage(message) {
    this.posted.push(message);
  }

  addEventListener() {}

  removeEventListener() {}

  terminate() {}
}

/** An element, and whatever is asked of it: it can be called, made, read and written, to no effect. */
function element() {
  return new Proxy(function anything() {}, {
    get: (_target, key) => (key === Symbol.toPrimitive ? () => '' : typeof key === 'symbol' || key === 'then' ? undefined : element()),
    set: () => true,
    apply: element,
    construct: element,
  });
}

function refusing(name) {
  return function reach() {
    seen.reached.push(name);
    throw new Error(`${name} is out of reach`);
  };
}

const stubs = {
  window: globalThis,
  self: globalThis,
  document: element(),
  location: { href: 'http://localhost/', protocol: 'http:', host: 'localhost', hostname: 'localhost', port: '' },
  navigator: {
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36',
    appVersion: '5.0',
    plugins: [],
  },
  addEventListener() {},
  removeEventListener() {},
  Worker,
};
for (const name of ['fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource', 'WebTransport']) stubs[name] = refusing(name);
for (const [name, value] of Object.entries(stubs)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
net.Socket.prototype.connect = refusing('a socket');

module.exports = { seen };
