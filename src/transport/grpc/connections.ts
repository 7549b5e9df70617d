// The connections of the gRPC listener, and how each ends without dropping a call that is on its way.
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { pause } from '../../lifecycle/pause.ts';
import type { ConnectionPlaces, Place } from '../listener/connection-places.ts';

/** How long a client has to confirm that the connection ends, in milliseconds; longer than a round trip around the earth. */
const ANSWER_MS = 1000;
/** Waits in a row, each so long at most, that the end of a connection is made of, and one to spare for the calls that are open. */
const RETIRE_STEPS = 3;

export class GrpcConnections {
  readonly #places: ConnectionPlaces;
  readonly #connections = new Map<ServerHttp2Session, Calls>();
  /** Set once the end has begun: what a client gets to answer, in milliseconds. A connection may still arrive out of its handshake. */
  #answerMs: number | null = null;
  #isDestroyed = false;
  /** By the address of the client: a session does not give its socket out. */
  readonly #sockets = new Map<string, Socket>();

  constructor(places: ConnectionPlaces) {
    this.#places = places;
  }

  /** To be called for each socket of the listener. */
  addSocket(socket: Socket): void {
    if (this.#isDestroyed) return void socket.destroy();
    this.#places.add(socket);
    if (socket.destroyed) return;
    const peer = peerOf(socket);
    this.#sockets.set(peer, socket);
    socket.once('close', () => this.#sockets.delete(peer));
  }

  /** Takes a connection in. */
  add(session: ServerHttp2Session): void {
    if (this.#isDestroyed) return session.destroy();
    // Without TLS a session exists before its socket is announced.
    process.nextTick(() => {
      if (!session.destroyed) this.#places.carry(session, session.socket, () => end(session));
    });
    const calls = new Calls(() => this.#places.of(session));
    this.#connections.set(session, calls);
    session.on('stream', (stream: ServerHttp2Stream) => calls.add(stream));
    const peer = peerOf(session.socket);
    session.once('close', () => {
      this.#connections.delete(session);
      // What has ended on our side is half open still. A client with calls that it may not send would wait for its other half for ever.
      this.#sockets.get(peer)?.destroySoon();
    });
    // What a broken client does to its own connection is no news.
    session.on('error', () => {});
    if (this.#answerMs !== null) void retire(session, calls, this.#answerMs);
  }

  /** Sends every client away, in less than `graceMs`; the calls it has begun are served. */
  retire(graceMs: number): void {
    this.#answerMs = Math.min(ANSWER_MS, graceMs / RETIRE_STEPS);
    for (const [session, calls] of this.#connections) void retire(session, calls, this.#answerMs);
  }

  /** Cuts everything off. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const session of this.#connections.keys()) session.destroy();
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}

function peerOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}

// Without a call only the client's confirmation is left to wait for. One that does not read is not waited for.
function end(session: ServerHttp2Session): void {
  session.close();
  setImmediate(() => session.destroy());
}

/** The calls of one connection. */
class Calls {
  readonly #place: () => Place | undefined;
  #open = 0;
  #opened = 0;
  #onIdle: () => void = () => undefined;

  constructor(place: () => Place | undefined) {
    this.#place = place;
  }

  get opened(): number {
    return this.#opened;
  }

  add(stream: ServerHttp2Stream): void {
    this.#open += 1;
    this.#opened += 1;
    const place = this.#place();
    place?.begin();
    stream.once('close', () => {
      this.#open -= 1;
      place?.end();
      if (this.#open === 0) this.#onIdle();
    });
  }

  idle(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve));
  }
}

/**
 * A GOAWAY alone drops whatever call crosses it. A balancer that keeps connections for later (nginx) closes one that is idle as soon
 * as anything arrives on it: so it is pinged until it has closed the connection. Any other client answers, and gets its GOAWAY when it
 * had no call open for a round trip. A call that crosses even that, or one of a connection that is never idle, is answered
 * REFUSED_STREAM, which says that it may be repeated. Lowering the limit of calls to none first gains nothing (nghttp2 refuses at once
 * what comes before the client knows), and Node's own client leaves the calls that it then holds back without any answer.
 */
async function retire(session: ServerHttp2Session, calls: Calls, answerMs: number): Promise<void> {
  const endsAt = performance.now() + answerMs;
  for (let opened = -1; opened !== calls.opened && performance.now() < endsAt && !session.destroyed;) {
    await Promise.race([calls.idle(), pause(endsAt - performance.now())]);
    opened = calls.opened;
    await answered(session, answerMs, (done) => session.ping(done));
  }
  if (session.destroyed) return;
  session.close();
}

/** Resolves when the client has acknowledged what was sent, or is gone, or takes too long. */
async function answered(session: ServerHttp2Session, answerMs: number, send: (done: () => void) => void): Promise<void> {
  if (session.destroyed) return;
  const ended = new AbortController();
  const done = (): void => ended.abort();
  session.once('close', done);
  send(done);
  await pause(answerMs, ended.signal);
  session.off('close', done);
}
