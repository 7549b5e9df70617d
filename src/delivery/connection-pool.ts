// The connections to receivers: kept for reuse while idle, counted and capped in all.
import type { SecureContext } from 'node:tls';
import type { AttemptError } from '../domain/delivery.ts';
import { Rounds } from '../rounds.ts';
import type { EgressPolicy } from '../security/egress-policy.ts';
import { Connection } from './connection.ts';
import { Departures } from './departures.ts';
import { dial, type Dialled } from './dial.ts';
import type { NameResolver } from './name-resolver.ts';

/** Most servers close an idle connection after 5 s (Node) or later; ours go first, and sockets of quiet receivers are freed. */
const IDLE_MS = 4000;
/** How much earlier than a server's own `Keep-Alive: timeout` a connection is closed. */
const IDLE_MARGIN_MS = 1000;
/** How often idle connections are looked through: a timer for each would cost every request two calls. */
const SWEEP_INTERVAL_MS = 250;

/** A scheme, host and port, as text and taken apart. */
export interface Site {
  readonly origin: string;
  readonly to: Dialled;
}

export interface PoolOptions {
  readonly policy: EgressPolicy;
  readonly resolver: NameResolver;
  readonly secureContext: SecureContext;
  readonly maxSockets: number;
}

export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #departures = new Departures();
  /** By origin, each with the most recently used last. */
  readonly #idle = new Map<string, Connection[]>();
  /** Open or being opened. */
  #sockets = 0;
  readonly #sweeping = new Rounds(SWEEP_INTERVAL_MS, () => this.#sweep());

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
      if (connection.isOpen) return connection;
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
    let connection: Connection | null = null;
    const onBytes = (bytes: Buffer): boolean => connection?.take(bytes) ?? false;
    const giveUp = dial(site.to, { ...this.#options, onBytes }, (error, socket) => {
      if (socket === null) {
        this.#sockets -= 1;
        return done(error, null);
      }
      const opened = new Connection(socket, this.#departures, () => this.#give(site, opened));
      connection = opened;
      socket.once('close', () => this.#closed(site, opened));
      done(null, opened);
    });
    return () => {
      giveUp();
      this.#sockets -= 1;
    };
  }

  #give(site: Site, connection: Connection): void {
    const idleMs = Math.min(IDLE_MS, connection.reusableMs - IDLE_MARGIN_MS);
    if (!(idleMs > 0)) return connection.destroy();
    connection.idleUntil = performance.now() + idleMs;
    const idle = this.#idle.get(site.origin);
    if (idle === undefined) this.#idle.set(site.origin, [connection]);
    else idle.push(connection);
    this.#sweeping.begin();
  }

  #sweep(): boolean {
    const now = performance.now();
    const overdue = [...this.#idle.values()].flatMap((idle) => idle.filter(({ idleUntil }) => idleUntil <= now));
    for (const connection of overdue) connection.destroy();
    return this.#idle.size > 0;
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
