// Connecting to a name with several addresses: the next one is tried while the others are given their time (RFC 8305, Happy Eyeballs).
import type { Socket } from 'node:net';

/** After the last one was begun (RFC 8305, 5: 250 ms recommended). One that failed is followed at once. */
const NEXT_ADDRESS_MS = 250;

/** Sockets for racing, shared by all names: beside the first socket of each, whose place the connection keeps. */
export class RacingPlaces {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * Half of the places are for a second address alone: names with many silent addresses leave them to those with two.
   * @param held how many of them the same name has
   */
  tryTake(held: number): boolean {
    if (this.#taken >= (held === 0 ? this.#max : this.#max / 2)) return false;
    this.#taken += 1;
    return true;
  }

  give(count: number): void {
    this.#taken -= count;
  }
}

export interface Race {
  /** In the order in which they are tried. Each has passed the egress policy. */
  readonly addresses: readonly string[];
  /** Begins to connect. */
  readonly open: (address: string) => Socket;
  readonly places: RacingPlaces;
  /** Whether this error says more than another address's: an attempt that lacked something of ours has proved nothing. */
  readonly isLocal: (error: Error) => boolean;
  /** Called once: with the first socket to connect, all others closed, or with what went wrong. */
  readonly done: (error: Error | null, socket: Socket | null) => void;
}

/** Returns the function that gives up: it closes what is open, and nothing is called back any more. */
export function race({ addresses, open, places, isLocal, done }: Race): () => void {
  const racing = new Set<Socket>();
  let begun = 0;
  let failure: Error | null = null;
  let isOver = false;
  const timer = addresses.length > 1 ? setTimeout(next, NEXT_ADDRESS_MS) : null;

  function next(): void {
    const address = addresses[begun];
    if (isOver || address === undefined) return;
    timer?.refresh();
    // Without a place it is tried in the next round, or as soon as another address has failed.
    if (racing.size > 0 && !places.tryTake(racing.size - 1)) return;
    begun += 1;
    const socket = open(address);
    racing.add(socket);
    socket.once('connect', () => end(null, socket));
    // Errors come as long as the socket lives; after the race it is another's to listen.
    socket.on('error', (error) => failed(socket, error));
  }

  function failed(socket: Socket, error: Error): void {
    if (isOver || !racing.delete(socket)) return;
    if (failure === null || !isLocal(failure)) failure = error;
    if (racing.size > 0) places.give(1);
    next();
    if (racing.size === 0) end(failure, null);
  }

  function end(error: Error | null, winner: Socket | null): void {
    if (isOver) return;
    isOver = true;
    if (timer !== null) clearTimeout(timer);
    places.give(Math.max(0, racing.size - 1));
    for (const socket of racing) if (socket !== winner) socket.destroy();
    if (error !== null || winner !== null) done(error, winner);
  }

  next();
  return () => end(null, null);
}
