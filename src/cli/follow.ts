// Following deliveries for as long as it takes: through restarts of the service and breaks of the network, by cursor.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Delivery, WatchDeliveriesRequestSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { pause } from '../lifecycle/pause.ts';
import type { Connection } from './connection.ts';
import { watchStream } from './watch-stream.ts';
import { isWrongPort } from './wrong-port.ts';

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
/** Three heartbeats: a connection that says nothing for so long is dead, whatever the network thinks. */
const SILENCE_MS = 45_000;
/** Changes remembered so that none is reported twice: those of a reconnect's overlap, at several hundred a second. */
const MAX_REMEMBERED = 10_000;
/** What a new attempt would not mend. */
const FINAL = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.InvalidArgument,
  Code.Unimplemented,
  Code.ResourceExhausted,
]);

export interface FollowOptions {
  readonly request: MessageInitShape<typeof WatchDeliveriesRequestSchema>;
  readonly signal: AbortSignal;
  readonly onConnected: () => void;
  readonly onDelivery: (delivery: Delivery) => void | Promise<void>;
  /** The connection was lost; the next attempt follows after `delayMs`. */
  readonly onLost: (error: unknown, delayMs: number) => void;
}

/** Calls back for every change, once; resolves when the signal aborts, rejects when there is no use in trying again. */
export async function follow(connection: Connection, options: FollowOptions): Promise<void> {
  const { signal } = options;
  const seen = new Set<string>();
  let after = options.request.after ?? '';
  let delayMs = FIRST_DELAY_MS;
  while (!signal.aborted) {
    let isConnected = false;
    try {
      const stream = watchStream(connection.deliveries, { ...options.request, after }, { signal, maxSilenceMs: SILENCE_MS });
      for await (const { cursor, message } of stream) {
        if (!isConnected) options.onConnected();
        isConnected = true;
        delayMs = FIRST_DELAY_MS;
        if (message.case === 'delivery' && !seen.has(cursor)) {
          remember(seen, cursor);
          await options.onDelivery(message.value);
        }
        after = cursor;
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

function remember(seen: Set<string>, cursor: string): void {
  seen.add(cursor);
  if (seen.size <= MAX_REMEMBERED) return;
  const [oldest] = seen;
  if (oldest !== undefined) seen.delete(oldest);
}
