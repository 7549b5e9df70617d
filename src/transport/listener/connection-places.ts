// The places that a listener has for connections: no client takes all of them with connections that do nothing.
import type { Socket } from 'node:net';
import { SharedInterval } from '../../lifecycle/shared-interval.ts';

/** An address may have that part of the places for connections over which no authenticated call has come yet … */
const STRANGER_SHARE = 1 / 8;
/** … and so many even where places are few: a browser opens six. */
const MIN_STRANGER_PLACES = 16;
/**
 * A connection is held to that share after so long, in milliseconds, or when all places are taken. Before that a client that opens many at
 * once has not had the time to say who it is.
 */
const GRACE_MS = 1000;
/** Kept free, so that a connection can be let in before the one that makes room for it is gone. */
const SPARE_SHARE = 1 / 16;
/** How often it is looked for connections that have done nothing for too long. */
const LOOK_MS = 250;

export interface PlacesOptions {
  readonly maxConnections: number;
  /** A connection without a call is closed after so long, unless an authenticated call has come over it. */
  readonly strangerIdleMs: number;
  /** Whether many callers come from this address. */
  readonly isProxy: (address: string | undefined) => boolean;
}

export class ConnectionPlaces {
  readonly #options: PlacesOptions;
  readonly #maxPlaces: number;
  readonly #maxOfStranger: number;
  /** Connections over which no authenticated call has come, by address. */
  readonly #strangers = new Map<string, number>();
  /** Those without a call, the one idle for longest first. */
  readonly #idleStrangers = new Set<Place>();
  /** Those with a call whose caller is not known, the one that began first comes first: most are over in a moment, a slow download is not. */
  readonly #busyStrangers = new Set<Place>();
  readonly #idleKnown = new Set<Place>();
  readonly #byPeer = new Map<string, Place>();
  readonly #byCarrier = new WeakMap<object, Place>();
  readonly #looking = new SharedInterval(LOOK_MS, () => this.#look());
  #taken = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#maxPlaces = Math.ceil(options.maxConnections * (1 - SPARE_SHARE));
    this.#maxOfStranger = Math.max(MIN_STRANGER_PLACES, Math.floor(options.maxConnections * STRANGER_SHARE));
  }

  /** Connections that have a place. */
  get taken(): number {
    return this.#taken;
  }

  /** Gives a connection a place, that of one which does nothing if need be; else closes it. */
  add(socket: Socket): void {
    const address = this.#options.isProxy(socket.remoteAddress) ? '' : (socket.remoteAddress ?? '');
    if (this.#taken >= this.#maxPlaces && !this.#makeRoom(address)) return void socket.destroy();
    const place = new Place(address, () => socket.destroy(), this.#books);
    const peer = peerOf(socket);
    this.#byPeer.set(peer, place);
    this.#byCarrier.set(socket, place);
    this.#taken += 1;
    this.#strangers.set(address, (this.#strangers.get(address) ?? 0) + 1);
    this.#wait(place);
    socket.once('close', () => {
      if (this.#byPeer.get(peer) === place) this.#byPeer.delete(peer);
      this.#leave(place);
    });
  }

  /** What carries calls over a connection: the TLS socket or the HTTP/2 session. `close` ends it in its own way. */
  carry(carrier: object, socket: Pick<Socket, 'remoteAddress' | 'remotePort'>, close?: () => void): void {
    const place = this.#byPeer.get(peerOf(socket));
    if (place === undefined) return;
    this.#byCarrier.set(carrier, place);
    if (close !== undefined) place.close = close;
  }

  /** The place of what carries a call. */
  of(carrier: object | undefined): Place | undefined {
    return carrier === undefined ? undefined : this.#byCarrier.get(carrier);
  }

  readonly #books: Books = {
    onBusy: (place) => {
      this.#idleStrangers.delete(place);
      this.#idleKnown.delete(place);
      if (place.isKnown || place.hasLeft) return;
      place.sinceMs = performance.now();
      this.#busyStrangers.add(place);
    },
    onIdle: (place) => this.#wait(place),
    onKnown: (place) => {
      this.#forgetStranger(place);
      this.#busyStrangers.delete(place);
      if (this.#idleStrangers.delete(place)) this.#idleKnown.add(place);
    },
  };

  #wait(place: Place): void {
    if (place.hasLeft) return;
    this.#busyStrangers.delete(place);
    place.sinceMs = performance.now();
    (place.isKnown ? this.#idleKnown : this.#idleStrangers).add(place);
    if (!place.isKnown) this.#looking.begin();
  }

  #makeRoom(address: string): boolean {
    if (this.#hasShare(address, 1)) return this.#evict(this.#idleStrangers) || this.#evict(this.#idleKnown);
    return this.#evict(this.#idleStrangers, address);
  }

  /** Whether an address may have so many more. */
  #hasShare(address: string, more: number): boolean {
    return address === '' || (this.#strangers.get(address) ?? 0) + more <= this.#maxOfStranger;
  }

  #evict(idle: ReadonlySet<Place>, address?: string): boolean {
    for (const place of idle) {
      if (address !== undefined && place.address !== address) continue;
      this.#leave(place);
      place.close();
      return true;
    }
    return false;
  }

  #look(): boolean {
    const { strangerIdleMs } = this.#options;
    this.#closeOlder(this.#idleStrangers, strangerIdleMs);
    this.#closeOlder(this.#busyStrangers, Number.POSITIVE_INFINITY);
    return this.#idleStrangers.size + this.#busyStrangers.size > 0;
  }

  #closeOlder(strangers: ReadonlySet<Place>, maxMs: number): void {
    const now = performance.now();
    for (const place of strangers) {
      const forMs = now - place.sinceMs;
      if (forMs < Math.min(GRACE_MS, maxMs)) return;
      if (forMs < maxMs && this.#hasShare(place.address, 0)) continue;
      this.#leave(place);
      place.close();
    }
  }

  #leave(place: Place): void {
    if (place.hasLeft) return;
    place.hasLeft = true;
    this.#taken -= 1;
    this.#idleStrangers.delete(place);
    this.#busyStrangers.delete(place);
    this.#idleKnown.delete(place);
    if (!place.isKnown) this.#forgetStranger(place);
  }

  #forgetStranger({ address }: Place): void {
    const left = (this.#strangers.get(address) ?? 0) - 1;
    if (left > 0) this.#strangers.set(address, left);
    else this.#strangers.delete(address);
  }
}

interface Books {
  readonly onBusy: (place: Place) => void;
  readonly onIdle: (place: Place) => void;
  readonly onKnown: (place: Place) => void;
}

/** The place of one connection. */
export class Place {
  /** Empty: a proxy's, which counts for no client. */
  readonly address: string;
  close: () => void;
  hasLeft = false;
  isKnown = false;
  /** Since when it has had a call, or none; on `performance.now()`. */
  sinceMs = 0;
  readonly #books: Books;
  #calls = 0;

  constructor(address: string, close: () => void, books: Books) {
    this.address = address;
    this.close = close;
    this.#books = books;
  }

  /** A call has begun. */
  begin(): void {
    if (this.#calls === 0) this.#books.onBusy(this);
    this.#calls += 1;
  }

  /** A call has ended. */
  end(): void {
    this.#calls -= 1;
    if (this.#calls === 0) this.#books.onIdle(this);
  }

  /** The caller of a call over this connection is known. */
  recognize(): void {
    if (this.isKnown || this.hasLeft) return;
    this.isKnown = true;
    this.#books.onKnown(this);
  }
}

function peerOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
