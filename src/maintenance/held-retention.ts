// What is held for a paused webhook is kept as long as everything else: older than retention it is cancelled, and announced.
import type { Pool } from 'pg';
import { idFloor } from '../domain/ids.ts';
import { DAY_MS } from '../domain/time-units.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { expireHeld, MAX_EXPIRED_AT_ONCE } from '../persistence/queries/expire-held.ts';
import { readClocks } from './clock-difference.ts';

export interface HeldRetentionOptions {
  readonly pool: Pool;
  readonly retentionDays: number;
  /** Asked before each batch. */
  readonly isLeading: () => boolean;
  /** Called for each batch after its commit. */
  readonly onHeldExpired: (deliveries: readonly DeliveryRow[]) => void;
  /** This machine's own clock, in milliseconds since 1970. */
  readonly processNowMs?: () => number;
}

/**
 * Cancels what is held of events older than retention. A day is dropped up to a day later (retention.ts), so the owner can still read
 * what became of them. Nothing while the clocks differ, as nothing is dropped then. Answers how many were cancelled.
 */
export async function expireHeldDeliveries(options: HeldRetentionOptions): Promise<number> {
  const { pool, retentionDays, isLeading, onHeldExpired, processNowMs } = options;
  let expired = 0;
  for (let count = MAX_EXPIRED_AT_ONCE; count === MAX_EXPIRED_AT_ONCE;) {
    const { databaseMs, agree } = await readClocks(pool, processNowMs);
    if (!agree || !isLeading()) return expired;
    const rows = await expireHeld(pool, idFloor('delivery', databaseMs - retentionDays * DAY_MS));
    count = rows.length;
    expired += count;
    if (count > 0) onHeldExpired(rows);
  }
  return expired;
}
