// Cursors: where in the stream of changes a watcher stands, as text that it keeps and gives back.
import { invalid } from '../domain/errors.ts';
import type { StatusUpdate } from './status-update.ts';

/**
 * The cursor of a change is the same from every process and every time: `<microseconds since 1970>-<the delivery's id>`. It grows
 * with every change of a delivery, and texts of cursors sort by time.
 */
export function updateCursor(update: Pick<StatusUpdate, 'deliveryId' | 'updatedAtMs'>): string {
  return `${microsOf(update)}-${update.deliveryId.slice('delivery_'.length)}`;
}

/** The cursor of a moment before which every change has been sent. */
export function positionCursor(micros: number): string {
  return String(micros);
}

/** The database's time of a change, in microseconds since 1970: a whole number, exact until the year 2255. */
export function microsOf(update: Pick<StatusUpdate, 'updatedAtMs'>): number {
  return Math.round(update.updatedAtMs * 1000);
}

/**
 * How far before a change those may lie that were committed after it: changes carry the time of their statement, and no
 * transaction that changes deliveries runs for longer (the server ends each of its statements after ten seconds).
 */
const OVERLAP_MICROS = 15_000_000;

const CURSOR = /^(\d{16})(?:-[0-9a-hjkmnp-tv-z]{26})?$/;

/**
 * From where to read on, in microseconds since 1970. After a position nothing is sent twice; after a change, those of the fifteen
 * seconds before it are, because one of them may have been committed later. Throws `cursor_invalid`.
 */
export function resumeFrom(cursor: string): number {
  const match = CURSOR.exec(cursor);
  if (match === null) throw invalid('cursor_invalid', 'after', 'is not a cursor of this service');
  return Number(match[1]) - (cursor.includes('-') ? OVERLAP_MICROS : 0);
}
