// The connections of the gRPC listener: how many there may be, and how each ends without dropping a call that is on its way.
import { constants } from 'node:http2';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { pause } from '../lifecycle.ts';

/** Connections; each holds many calls, so far fewer than the HTTP/1.1 listener needs. */
const MAX_SESSIONS = 4000;
/** What a client gets to answer that it has heard of the end, in milliseconds; longer than a round trip around the earth. */
const ANSWER_MS = 1000;

export class GrpcConnections {
  readonly #connections = new Map<ServerHttp2Session, Calls>();

  /** Takes a connection in, or closes it when there are too many. */
  add(session: ServerHttp2Session): void {
    if (this.#connections.size >= MAX_SESSIONS) return session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    const calls = new Calls();
    this.#connections.set(session, calls);
    session.on('stream', (stream: ServerHttp2Stream) => calls.add(stream));
    session.once('close', () => this.#connections.delete(session));
    // What a broken client does to its own connection is no news.
    session.on('error', () => {});
  }

  /** Sends every client away; the calls it has begun are served. */
  retire(): void {
    for (const [session, calls] of this.#connections) void retire(session, calls);
  }

  /** Cuts everything off. */
  destroy(): void {
    for (const session of this.#connections.keys()) session.destroy();
  }
}

/** The calls of one connection. */
class Calls {
  #open = 0;
  #opened = 0;
  #onIdle: () => void = () => undefined;

  get opened(): number {
    return this.#opened;
  }

  add(stream: ServerHttp2Stream): void {
    this.#open += 1;
    this.#opened += 1;
    stream.once('close', () => {
      this.#open -= 1;
      if (this.#open === 0) this.#onIdle();
    });
  }

  idle(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve));
  }
}

/**
 * A GOAWAY alone drops whatever call crosses it. A balancer that keeps connections for later (nginx) closes one that is idle as soon
 * as anything arrives on it, and heeds nothing else: so it is pinged until it has closed the connection. Who has answered with no
 * call in between is no such balancer: it is told that no call may be open at once, and what it sent before it says that it knows is
 * still served.
 */
async function retire(session: ServerHttp2Session, calls: Calls): Promise<void> {
  const endsAt = performance.now() + ANSWER_MS;
  for (let opened = -1; opened !== calls.opened && performance.now() < endsAt && !session.destroyed;) {
    await Promise.race([calls.idle(), pause(endsAt - performance.now())]);
    opened = calls.opened;
    await answered(session, (done) => session.ping(done));
  }
  await answered(session, (done) => session.settings({ maxConcurrentStreams: 0 }, done));
  if (session.destroyed) return;
  // close() alone lets the client go on opening calls until the last one has ended.
  session.goaway(constants.NGHTTP2_NO_ERROR);
  session.close();
}

/** Resolves when the client has acknowledged what was sent, or is gone, or takes too long. */
async function answered(session: ServerHttp2Session, send: (done: () => void) => void): Promise<void> {
  if (session.destroyed) return;
  const ended = new AbortController();
  const done = (): void => ended.abort();
  session.once('close', done);
  send(done);
  await pause(ANSWER_MS, ended.signal);
  session.off('close', done);
}
