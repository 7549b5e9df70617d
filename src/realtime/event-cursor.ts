// Cursors of watchers of events: where one stands, and which temporary webhook it is.
import { invalid } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';

export interface EventPosition {
  /** Every event that concerns the watcher and was committed before was sent. In microseconds since 1970. */
  readonly micros: number;
  /** `webhook_` and 26 characters. */
  readonly webhookId: string;
}

const CURSOR = /^(\d{16})-(.{26})$/;

export function eventCursor({ micros, webhookId }: EventPosition): string {
  return `${Math.floor(micros)}-${webhookId.slice('webhook_'.length)}`;
}

/** Throws `cursor_invalid`. */
export function readEventCursor(cursor: string): EventPosition {
  const [, micros, rest] = CURSOR.exec(cursor) ?? [];
  const webhookId = `webhook_${rest}`;
  if (!isId('webhook', webhookId)) throw invalid('cursor_invalid', 'after', 'is not a cursor of WatchEvents');
  return { micros: Number(micros), webhookId };
}
