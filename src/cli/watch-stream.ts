// One stream of WatchDeliveries or WatchEvents, from its opening to its end. The command line and the console follow with it, so it uses nothing
// that a browser lacks.
import type { CallOptions } from '@connectrpc/connect';

/** Opens a stream: the call of a client, with the options that watchStream gives it. */
export type OpenStream<Message> = (options: CallOptions) => AsyncIterable<Message>;

export interface WatchStreamOptions {
  readonly signal: AbortSignal;
  /** ms. After so long without a message, heartbeats included, the stream counts as dead and is aborted. */
  readonly maxSilenceMs: number;
  /** Called once, as soon as the service has accepted the stream. */
  readonly onOpen?: () => void;
}

/** Yields every message. Returns when the service ends the stream; throws when it refuses, when the stream breaks or is aborted. */
export async function* watchStream<Message>(
  open: OpenStream<Message>,
  { signal, maxSilenceMs, onOpen }: WatchStreamOptions,
): AsyncGenerator<Message, void> {
  const silence = new SilenceAlarm(signal, maxSilenceMs);
  let isOpen = false;
  const came = (): void => {
    silence.reset();
    if (!isOpen) onOpen?.();
    isOpen = true;
  };
  try {
    // Without a deadline of the transport's: a stream lasts until it is aborted.
    for await (const message of open({ signal: silence.signal, timeoutMs: 0, onHeader: came })) {
      came();
      yield message;
    }
  } finally {
    silence.stop();
  }
}

/** Aborts when nothing has come for too long, and when the outer signal does. */
class SilenceAlarm {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #maxSilenceMs: number;
  readonly #abort = (): void => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignal, maxSilenceMs: number) {
    this.#outer = outer;
    this.#maxSilenceMs = maxSilenceMs;
    outer.addEventListener('abort', this.#abort, { once: true });
    if (outer.aborted) this.#abort();
    this.reset();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#abort, this.#maxSilenceMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#abort);
    this.#controller.abort();
  }
}
