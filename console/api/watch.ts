// Watching deliveries: one stream that heals itself and never skips what was committed while it was away.
import { Code, ConnectError } from '@connectrpc/connect';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Delivery, WatchDeliveriesRequestSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { watchStream } from '../../src/cli/watch-stream.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { deliveries, noticeExpiry } from './client.ts';
import { type Failure, toFailure } from './failure.ts';
import { session } from './session.ts';

export type WatchFilter = Pick<
  MessageInitShape<typeof WatchDeliveriesRequestSchema>,
  'webhookIds' | 'eventTypes' | 'statuses' | 'eventId' | 'userId'
>;

export type WatchState =
  | { readonly kind: 'connecting' }
  /** `resumedFrom`: up to where the reader had seen everything before the stream broke. */
  | { readonly kind: 'live'; readonly resumedFrom: Date | null }
  | { readonly kind: 'reconnecting'; readonly failure: Failure; readonly retryAtMs: number; readonly resumeFrom: Date | null }
  | { readonly kind: 'stopped'; readonly failure: Failure };

export interface Watcher {
  onDelivery(delivery: Delivery): void;
  onState(state: WatchState): void;
  /** So many changes came faster than they were read. What they left follows, as it stands by then. */
  onGap?(dropped: number): void;
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;
/** The service sends heartbeats at least this often; a stream silent for longer is dead without knowing it. */
const MAX_SILENCE_MS = 60_000;
/** Errors that trying again cannot cure. */
const FINAL = new Set([Code.InvalidArgument, Code.PermissionDenied, Code.Unauthenticated, Code.NotFound, Code.Unimplemented]);

/** Watches until the signal aborts or the service refuses for good. Never rejects. */
export async function watchDeliveries(filter: WatchFilter, watcher: Watcher, signal: AbortSignal): Promise<void> {
  const position: Position = { cursor: '', seenUntil: null };
  let failures = 0;
  watcher.onState({ kind: 'connecting' });
  while (!signal.aborted) {
    const asked = session.peek();
    const resumedFrom = position.seenUntil;
    const onOpen = () => {
      failures = 0;
      watcher.onState({ kind: 'live', resumedFrom });
    };
    const error = await watchOnce(filter, position, watcher, onOpen, signal);
    if (signal.aborted) return;
    const failure = toFailure(error);
    if (failure.reason === 'cursor_invalid' && position.cursor !== '') {
      // A cursor older than what the service keeps cannot be resumed: the watch begins anew, from now.
      position.cursor = '';
      position.seenUntil = null;
    } else if (FINAL.has(ConnectError.from(error).code)) {
      noticeExpiry(error, asked);
      watcher.onState({ kind: 'stopped', failure });
      return;
    }
    const delayMs = Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS) * (0.75 + Math.random() / 2);
    failures += 1;
    watcher.onState({ kind: 'reconnecting', failure, retryAtMs: Date.now() + delayMs, resumeFrom: position.seenUntil });
    await pause(delayMs, signal);
  }
}

interface Position {
  cursor: string;
  /** When the last message came: everything committed before has been seen. */
  seenUntil: Date | null;
}

/** One stream, from its opening to its end; resolves to why it ended. */
async function watchOnce(
  filter: WatchFilter,
  position: Position,
  watcher: Watcher,
  onOpen: () => void,
  signal: AbortSignal,
): Promise<unknown> {
  try {
    const options = { signal, maxSilenceMs: MAX_SILENCE_MS, onOpen };
    const request = { ...filter, after: position.cursor };
    for await (const update of watchStream((call) => deliveries.watchDeliveries(request, call), options)) {
      if (update.message.case === 'gap') watcher.onGap?.(update.message.value.dropped);
      if (update.cursor !== '') position.cursor = update.cursor;
      position.seenUntil = new Date();
      if (update.message.case === 'delivery') watcher.onDelivery(update.message.value);
    }
    return new ConnectError('The service closed the stream.', Code.Unavailable);
  } catch (error) {
    return error;
  }
}
