// One connection to a receiver: HTTP/1.1, one request at a time.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { BatchedWriter, WriteBatcher } from './write-batcher.ts';
import { ResponseReader, type ResponseListener, type Progress } from './response-reader.ts';
import { failureOf, type Failure } from './shortage.ts';

/** The bytes of a request, in few parts. */
export type Message = readonly Buffer[];

/** Handles the response to one request. The last call is `onComplete` or `onBroken`. */
export interface ResponseHandler extends ResponseListener {
  /** What has come so far is not the whole response. */
  onMore(): void;
  /** The response was read to its end, and the connection goes on or is closed by itself. */
  onComplete(): void;
  /** It came to nothing more. `isSilent`: not a byte of a response had come. */
  onBroken(failure: Failure, isSilent: boolean): void;
}

export class Connection implements BatchedWriter {
  readonly #socket: Socket;
  readonly #writeBatcher: WriteBatcher;
  #message: Message | null = null;
  readonly #onFree: () => void;
  readonly #onClosed: () => void;
  #requester: ResponseHandler | null = null;
  readonly #reader = new ResponseReader();
  #isSilent = true;
  #isReading = true;
  #isClosed = false;
  /** Whether it has carried a request before: such a connection may have been closed by the other side unnoticed. */
  reused = false;
  /** On `performance.now()`: not to be used after. The pool's to set while the connection is idle. */
  idleUntil = 0;
  /** When the certificate that it was opened with ends, in milliseconds since 1970; null without TLS. */
  readonly certificateEndsAtMs: number | null;
  /** The other end. */
  readonly address: string | null;
  /** As in `TLSv1.3`; null without TLS. */
  readonly tlsVersion: string | null;
  /** On `performance.now()`: not to carry another request after. The pool's to set. */
  retiresAt = Number.POSITIVE_INFINITY;

  /**
   * @param onFree called when a request is over and the connection can carry another; `reusableMs` says for how long it may wait
   * @param onClosed called once, as soon as the descriptor is free: that is when the socket is destroyed, not at its `close` event
   */
  constructor(socket: Socket, writeBatcher: WriteBatcher, onFree: () => void, onClosed: () => void) {
    this.#socket = socket;
    this.certificateEndsAtMs = socket instanceof TLSSocket ? endOfCertificate(socket) : null;
    this.tlsVersion = socket instanceof TLSSocket ? socket.getProtocol() : null;
    // Asked for while the socket is open: a closed one has none.
    this.address = socket.remoteAddress ?? null;
    this.#writeBatcher = writeBatcher;
    this.#onFree = onFree;
    this.#onClosed = onClosed;
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#break(failureOf(error)));
    socket.on('close', () => this.#break('connection_reset'));
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  get reusableMs(): number {
    return this.#reader.reusableMs;
  }

  /** Sends one request; the next only after this one is over. */
  send(message: Message, requester: ResponseHandler): void {
    this.#requester = requester;
    this.#reader.begin(requester);
    this.#isSilent = true;
    this.#message = message;
    this.#writeBatcher.add(this);
  }

  writeNow(): void {
    const message = this.#message;
    this.#message = null;
    // Given up meanwhile.
    if (message === null || this.#requester === null) return;
    if (message.length > 1) this.#socket.cork();
    for (const part of message) this.#socket.write(part);
    if (message.length > 1) this.#socket.uncork();
  }

  /** To be called with whatever arrives; the bytes may be overwritten afterwards. Returns whether to go on reading. */
  take(bytes: Buffer): boolean {
    const requester = this.#requester;
    // There is no request: none yet, when it has not been written. Its handler then learns that the connection was closed.
    if (requester === null || this.#message !== null) {
      this.#close();
      return false;
    }
    this.#isSilent = false;
    const progress = readSafely(this.#reader, bytes);
    // It has had enough, and closed this.
    if (this.#requester !== requester) return false;
    if (progress === 'complete') this.#complete(requester);
    else if (progress === 'more') requester.onMore();
    else this.#break(progress);
    return this.#isReading;
  }

  /** Leaves what the other side sends in the kernel's buffer, where it takes neither memory nor time of ours. */
  stopReading(): void {
    this.#isReading = false;
    this.#socket.pause();
  }

  /** Closes it. The handler of the request is not called again. */
  destroy(): void {
    this.#requester = null;
    this.#close();
  }

  #complete(requester: ResponseHandler): void {
    this.#requester = null;
    this.reused = true;
    // A response that came before the whole request was taken is the last one.
    if (this.reusableMs > 0 && this.#socket.writableLength === 0 && !this.#socket.readableEnded) this.#onFree();
    else this.#close();
    requester.onComplete();
  }

  #ended(): void {
    const requester = this.#requester;
    const progress = this.#reader.end();
    if (requester !== null && progress === 'complete') this.#complete(requester);
    else this.#break('connection_reset');
  }

  #close(): void {
    this.#socket.destroy();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClosed();
  }

  #break(failure: Failure): void {
    const requester = this.#requester;
    this.#requester = null;
    this.#close();
    requester?.onBroken(failure, this.#isSilent);
  }
}

// What a receiver sends may cost it this attempt, but never the process.
function readSafely(reader: ResponseReader, bytes: Buffer): Progress {
  try {
    return reader.read(bytes);
  } catch {
    return 'protocol_error';
  }
}

function endOfCertificate(socket: TLSSocket): number | null {
  const endsAtMs = socket.getPeerX509Certificate()?.validToDate.getTime() ?? Number.NaN;
  return Number.isNaN(endsAtMs) ? null : endsAtMs;
}
