// The connections to receivers: kept for reuse while idle, counted, capped in all, and none of them old.
import type { SecureContext } from 'node:tls';
import type { Shortage } from '../domain/delivery.ts';
import { SharedInterval } from '../lifecycle/shared-interval.ts';
import type { EgressPolicy } from '../security/egress-policy.ts';
import { Connection } from './connection.ts';
import { probe, type ProbeReport } from './connection-probe.ts';
import { WriteBatcher } from './write-batcher.ts';
import { dial, type Dialled } from './dial.ts';
import type { NameResolver } from './name-resolver.ts';
import { Places } from './socket-places.ts';
import { RacingPlaces } from './race.ts';
import { isShortage, type Failure } from './shortage.ts';

/** Most servers close an idle connection after 5 s (Node) or later; ours go first, and sockets of quiet receivers are freed. */
const IDLE_MS = 4000;
/** How much earlier than a server's own `Keep-Alive: timeout` a connection is closed. */
const IDLE_MARGIN_MS = 1000;
/** How often idle connections are looked through: a timer for each would cost every request two calls. */
const SWEEP_INTERVAL_MS = 250;
/**
 * How long a connection is used, however busy. Half of the 60 s that the records of names which may move usually live: a receiver that has
 * moved is followed before its old address is switched off. One handshake in 30 s is too few to be measured.
 */
export const MAX_AGE_MS = 30_000;
/** By how much of it connections retire earlier, each by another part: those opened in one burst are not opened again in one burst. */
const AGE_SPREAD = 1 / 3;
/** Of the sockets, so many are for racing the addresses of names: most names have one or two addresses, and the first one connects. */
const RACING_SHARE = 1 / 4;

/** A scheme, host and port, as text and taken apart. */
export interface Origin {
  /** Connections are reused within it. With a client certificate its name is part of this. */
  readonly origin: string;
  readonly to: Dialled;
  /** With a client certificate; absent: the one of all others. */
  readonly secureContext?: SecureContext;
}

export interface PoolOptions {
  readonly policy: EgressPolicy;
  readonly resolver: NameResolver;
  readonly secureContext: SecureContext;
  readonly maxSockets: number;
  readonly maxAgeMs: number;
  /** Called whenever a connection has to wait, or could not be opened, for want of something of ours. */
  readonly onShortage: (shortage: Shortage) => void;
}

/** Who wants a connection. */
export interface Opener {
  /** Tenants are served in turn when places are short. */
  readonly tenant: string;
  /** There is no place for want of this. It waits for one, until `onPlace` or until it gives up. */
  onWait(shortage: Shortage): void;
  onPlace(): void;
  /** This address is dialled now; another one of the name may follow. */
  onDial(address: string): void;
  onOpened(connection: Connection): void;
  onFailed(failure: Failure): void;
}

/** One connection on its way. */
interface Opening {
  readonly origin: Origin;
  readonly opener: Opener;
  giveUp: () => void;
}

export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #writeBatcher = new WriteBatcher();
  /** By origin, each with the most recently used last. */
  readonly #idle = new Map<string, Connection[]>();
  /** Of connections, open or being opened. */
  readonly #places: Places;
  /** Of sockets that are tried beside the first of a connection. */
  readonly #racingPlaces: RacingPlaces;
  readonly #sweeping = new SharedInterval(SWEEP_INTERVAL_MS, () => this.#sweep());
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    const racing = Math.floor(options.maxSockets * RACING_SHARE);
    this.#racingPlaces = new RacingPlaces(racing);
    this.#places = new Places(options.maxSockets - racing);
  }

  /** Sockets open or being opened. */
  get sockets(): number {
    return this.#places.taken + this.#racingPlaces.taken;
  }

  /** Connections that wait for a place. */
  get waiting(): number {
    return this.#places.waiting;
  }

  /** An idle connection to the origin, the one used last: the others grow old and are closed. */
  take(origin: Origin): Connection | null {
    const idle = this.#idle.get(origin.origin);
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      if (connection.isOpen) return connection;
    }
    return null;
  }

  /** Opens another connection. When there is no place for it, an idle one makes room; else it waits. Returns the function that gives up. */
  open(origin: Origin, opener: Opener): () => void {
    const opening: Opening = { origin, opener, giveUp: ignore };
    if (this.#tryTakePlace()) this.#dial(opening);
    else
      this.#wait(
        opening,
        'places',
        this.#places.wait(opener.tenant, () => this.#onPlace(opening)),
      );
    return () => opening.giveUp();
  }

  /** Connects to each address of a receiver by itself, and closes the connections again. They take places like all others. */
  async probe({ to, secureContext = this.#options.secureContext }: Omit<Origin, 'origin'>): Promise<ProbeReport> {
    const report = await probe(to, {
      ...this.#options,
      secureContext,
      racingPlaces: this.#racingPlaces,
      tryTakePlace: () => this.#tryTakePlace(),
      givePlace: () => this.#places.give(),
    });
    for (const { failure } of report.dials) if (isShortage(failure)) this.#options.onShortage(failure.shortage);
    return report;
  }

  #tryTakePlace(): boolean {
    return this.#places.tryTake() || (this.#places.waiting === 0 && this.#closeOneIdle() && this.#places.tryTake());
  }

  #wait(opening: Opening, shortage: Shortage, endWait: () => void): void {
    opening.giveUp = endWait;
    opening.opener.onWait(shortage);
    this.#options.onShortage(shortage);
  }

  #onPlace(opening: Opening): void {
    opening.opener.onPlace();
    this.#dial(opening);
  }

  #dial(opening: Opening): void {
    const { origin, opener } = opening;
    let connection: Connection | null = null;
    const onBytes = (bytes: Buffer): boolean => connection?.take(bytes) ?? false;
    let isDialling = true;
    const secureContext = origin.secureContext ?? this.#options.secureContext;
    const onDial = (address: string): void => opener.onDial(address);
    const tools = { ...this.#options, secureContext, racingPlaces: this.#racingPlaces, onBytes, onDial };
    const giveUp = dial(origin.to, tools, (failure, socket) => {
      isDialling = false;
      if (socket === null) return this.#failed(opening, failure ?? 'connection_refused');
      const opened = new Connection(
        socket,
        this.#writeBatcher,
        () => this.#give(origin, opened),
        () => this.#closed(origin, opened),
      );
      opened.retiresAt = performance.now() + this.#options.maxAgeMs * (1 - AGE_SPREAD * Math.random());
      connection = opened;
      opener.onOpened(opened);
    });
    opening.giveUp = () => {
      if (!isDialling) return;
      isDialling = false;
      giveUp();
      this.#places.give();
    };
  }

  #failed(opening: Opening, failure: Failure): void {
    if (typeof failure === 'string') {
      this.#places.give();
      return opening.opener.onFailed(failure);
    }
    if (failure.shortage === 'ports') {
      // Of this one destination: others have ports, and so they do not wait for it.
      this.#places.give();
      this.#options.onShortage(failure.shortage);
      return opening.opener.onFailed(failure);
    }
    this.#places.refused();
    const { tenant } = opening.opener;
    this.#wait(
      opening,
      failure.shortage,
      this.#places.waitAgain(tenant, () => this.#onPlace(opening)),
    );
    this.#closeOneIdle();
  }

  #give(origin: Origin, connection: Connection): void {
    const now = performance.now();
    const idleMs = Math.min(IDLE_MS, connection.reusableMs - IDLE_MARGIN_MS, connection.retiresAt - now);
    if (!(idleMs > 0) || this.#isClosed || this.#places.waiting > 0) return connection.destroy();
    connection.idleUntil = now + idleMs;
    const idle = this.#idle.get(origin.origin);
    if (idle === undefined) this.#idle.set(origin.origin, [connection]);
    else idle.push(connection);
    this.#sweeping.begin();
  }

  #sweep(): boolean {
    const now = performance.now();
    const overdue = [...this.#idle.values()].flatMap((idle) => idle.filter(({ idleUntil }) => idleUntil <= now));
    for (const connection of overdue) connection.destroy();
    return this.#idle.size > 0;
  }

  /** Closes what is idle now, and what is used at its end. */
  close(): void {
    this.#isClosed = true;
    for (const idle of this.#idle.values()) for (const connection of idle.slice()) connection.destroy();
  }

  #closed(origin: Origin, connection: Connection): void {
    const idle = this.#idle.get(origin.origin);
    if (idle !== undefined) {
      const index = idle.indexOf(connection);
      if (index >= 0) idle.splice(index, 1);
      if (idle.length === 0) this.#idle.delete(origin.origin);
    }
    // Last, since the next in line opens another connection at once.
    this.#places.give();
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

function ignore(): void {}
