// Every socket of the Redis client keeps a listener for its errors.
// The client listens for the first error alone. A TLS socket whose certificate was refused may report a second one,
// the alert of the server, and an error without a listener would end the process.
import type { Duplex } from 'node:stream';
import { AbstractConnector } from 'ioredis';

const sockets = new WeakMap<AbstractConnector, Duplex>();

/** Makes each connector of the client, that of a cluster's nodes and subscribers too, watch the sockets that it opens from now on. */
export function listenForAllErrors(): void {
  // A connector keeps each new socket under this name, whichever way it was opened; the client has no hook of its own for it.
  Object.defineProperty(AbstractConnector.prototype, 'stream', {
    configurable: true,
    get(this: AbstractConnector) {
      return sockets.get(this);
    },
    set(this: AbstractConnector, socket: Duplex) {
      socket.on('error', ignore);
      sockets.set(this, socket);
    },
  });
}

function ignore(): void {}
