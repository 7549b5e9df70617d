// Following a stream for as long as it takes: through restarts of the service and breaks of the network, by cursor.
import { type CallOptions, Code, ConnectError } from '@connectrpc/connect';
import { BoundedMap } from '../bounded-map.ts';
import { pause } from '../lifecycle/pause.ts';
import { watchStream } from './watch-stream.ts';
import { isWrongPort } from './wrong-port.ts';

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
/** Three heartbeats: a connection that says nothing for so long is dead, whatever the network thinks. */
const SILENCE_MS = 45_000;
/** Messages remembered so that none is reported twice: those of a reconnect's overlap, at several hundred a second. */
const MAX_REMEMBERED = 10_000;
/** What a new attempt would not mend. */
const FINAL = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
  Code.Unimplemented,
  Code.ResourceExhausted,
]);

export interface FollowOptions<Message> {
  /** Opens the stream after a cursor; an empty one means from now on. */
  readonly open: (after: string, options: CallOptions) => AsyncIterable<Message>;
  /** The cursor to begin with. */
  readonly after: string;
  readonly signal: AbortSignal;
  readonly onConnected: () => void;
  /** By what a message is known when it comes again; null: it is not reported. */
  readonly keyOf: (message: Message) => string | null;
  readonly onMessage: (message: Message) => void | Promise<void>;
  /** The connection was lost; the next attempt follows after `delayMs`. */
  readonly onLost: (error: unknown, delayMs: number) => void;
}

/** Calls back for every message, once; resolves when the signal aborts, rejects when there is no use in trying again. */
export async function follow<Message extends { readonly cursor: string }>(options: FollowOptions<Message>): Promise<void> {
  const { signal } = options;
  const seen = new BoundedMap<string, true>(MAX_REMEMBERED);
  let { after } = options;
  let delayMs = FIRST_DELAY_MS;
  while (!signal.aborted) {
    let isConnected = false;
    try {
      const from = after;
      for await (const message of watchStream((call) => options.open(from, call), { signal, maxSilenceMs: SILENCE_MS })) {
        if (!isConnected) options.onConnected();
        isConnected = true;
        delayMs = FIRST_DELAY_MS;
        const key = options.keyOf(message);
        if (key !== null && seen.get(key) === undefined) {
          seen.set(key, true);
          await options.onMessage(message);
        }
        after = message.cursor;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isWrongPort(error)) throw error;
      // Once connected, even an expired token is worth another try: there may be a new one.
      if (!isConnected && FINAL.has(ConnectError.from(error).code)) throw error;
      options.onLost(error, delayMs);
    }
    await pause(delayMs, signal);
    delayMs = Math.min(delayMs * 2, MAX_DELAY_MS);
  }
}
