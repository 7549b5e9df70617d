// The connections to receivers: kept for reuse while idle, counted and capped in all.
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { Client } from 'undici';
import type { AttemptError } from '../domain/delivery.ts';
import type { EgressPolicy } from '../security/egress-policy.ts';
import { dial, type Dialled } from './dial.ts';
import type { NameResolver } from './name-resolver.ts';

/** Names and values of all headers of an answer together. */
const MAX_RESPONSE_HEADER_BYTES = 16_384;
/** Most servers close an idle connection after 5 s (Node) or later; ours go first, and sockets of quiet receivers are freed. */
const IDLE_MS = 4000;
/** How much earlier than a server's own `Keep-Alive: timeout` a connection is closed. */
const IDLE_MARGIN_MS = 1000;

/** A scheme, host and port, as text and taken apart. */
export interface Site {
  readonly origin: string;
  readonly to: Dialled;
}

/** One socket with undici's HTTP/1.1 on top, which carries one request at a time. */
export class Connection {
  readonly client: Client;
  readonly #socket: Socket;
  /** Whether it has carried a request before: such a connection may have been closed by the other side unnoticed. */
  reused = false;

  constructor(site: Site, socket: Socket) {
    this.#socket = socket;
    let connected = false;
    this.client = new Client(site.origin, {
      // The socket is dialled and checked already. A second time means that it was lost: undici must not dial on its own.
      connect: (_options, callback) => {
        if (connected) return callback(Object.assign(new Error('connection lost'), { code: 'ECONNRESET' }), null);
        connected = true;
        queueMicrotask(() => callback(null, socket));
      },
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
      // Both restart with every byte, so a drip outwits them; the one deadline of the attempt cannot be.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get open(): boolean {
    return !this.#socket.destroyed;
  }

  /** Leaves what the other side sends in the kernel's buffer, where it takes neither memory nor time of ours. */
  stopReading(): void {
    this.#socket.removeAllListeners('readable');
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

export interface PoolOptions {
  readonly policy: EgressPolicy;
  readonly resolver: NameResolver;
  readonly secureContext: SecureContext;
  readonly maxSockets: number;
}

export class ConnectionPool {
  readonly #options: PoolOptions;
  /** By origin, each with the most recently used last. */
  readonly #idle = new Map<string, Connection[]>();
  /** Open or being opened. */
  #sockets = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get sockets(): number {
    return this.#sockets;
  }

  /** An idle connection to the site, the one used last: the others grow old and are closed. */
  take(site: Site): Connection | null {
    const idle = this.#idle.get(site.origin);
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      if (connection.open) return connection;
    }
    return null;
  }

  /** Opens another connection; when there are too many, an idle one makes room. Returns the function that gives up. */
  open(site: Site, done: (error: AttemptError | null, connection: Connection | null) => void): () => void {
    if (this.#sockets >= this.#options.maxSockets && !this.#closeOneIdle()) {
      queueMicrotask(() => done('connection_refused', null));
      return () => {};
    }
    this.#sockets += 1;
    const giveUp = dial(site.to, this.#options, (error, socket) => {
      if (socket === null) {
        this.#sockets -= 1;
        return done(error, null);
      }
      const connection = new Connection(site, socket);
      socket.once('close', () => this.#closed(site, connection));
      done(null, connection);
    });
    return () => {
      giveUp();
      this.#sockets -= 1;
    };
  }

  /** Takes back a connection whose answer was read to the end. */
  give(site: Site, connection: Connection): void {
    connection.reused = true;
    if (!connection.open) return;
    const idle = this.#idle.get(site.origin);
    if (idle === undefined) this.#idle.set(site.origin, [connection]);
    else idle.push(connection);
  }

  closeIdle(): void {
    for (const idle of this.#idle.values()) for (const connection of idle) connection.destroy();
  }

  #closed(site: Site, connection: Connection): void {
    this.#sockets -= 1;
    const idle = this.#idle.get(site.origin);
    if (idle === undefined) return;
    const index = idle.indexOf(connection);
    if (index >= 0) idle.splice(index, 1);
    if (idle.length === 0) this.#idle.delete(site.origin);
  }

  #closeOneIdle(): boolean {
    for (const idle of this.#idle.values()) {
      const oldest = idle.shift();
      if (oldest === undefined) continue;
      oldest.destroy();
      return true;
    }
    return false;
  }
}
