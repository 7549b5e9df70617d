// Housekeeping, by the leader alone: partitions ahead and past retention, idempotency keys and old secrets that expired.
import type { Pool } from 'pg';
import { repeat, type LongRunning } from '../lifecycle.ts';
import type { Logger } from '../telemetry/log.ts';
import { createPartitions, dropOldPartitions } from './partitions.ts';

/** Partitions are made days ahead and keys live for a day: once a minute is soon enough for all of it. */
const INTERVAL_MS = 60_000;
/** Rows deleted by one statement, so that no statement holds its locks for long. */
const MAX_EXPIRED_KEYS = 5000;

export interface HousekeeperOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly retentionDays: number;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  readonly log: Logger;
}

export class Housekeeper implements LongRunning {
  readonly name = 'housekeeper';
  readonly #options: HousekeeperOptions;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: HousekeeperOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { pool, isLeading, retentionDays, now, log } = this.#options;
    this.#loop = repeat(
      async () => {
        if (!isLeading()) return;
        const done = await keepHouse(pool, now(), retentionDays);
        if (done.partitionsDropped.length > 0)
          log.info({ partitions: done.partitionsDropped }, 'partitions past retention dropped');
      },
      INTERVAL_MS,
      this.#stopping.signal,
      (error) => log.warn({ err: error }, 'housekeeping failed; it is repeated in a minute'),
    );
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }
}

export interface HousekeepingResult {
  readonly partitionsMade: number;
  readonly partitionsDropped: readonly string[];
  readonly keysExpired: number;
  readonly secretsExpired: number;
}

/** One round. Each step can be repeated at any time, by any process. */
export async function keepHouse(pool: Pool, nowMs: number, retentionDays: number): Promise<HousekeepingResult> {
  return {
    partitionsMade: await createPartitions(pool, nowMs),
    partitionsDropped: await dropOldPartitions(pool, nowMs, retentionDays),
    keysExpired: await expireIdempotencyKeys(pool),
    secretsExpired: await expireOldSecrets(pool),
  };
}

async function expireIdempotencyKeys(pool: Pool): Promise<number> {
  let expired = 0;
  for (;;) {
    const result = await pool.query(
      `delete from idempotency_keys where ctid = any (array(
         select ctid from idempotency_keys where expires_at < now() limit $1 for update skip locked))`,
      [MAX_EXPIRED_KEYS],
    );
    expired += result.rowCount ?? 0;
    if ((result.rowCount ?? 0) < MAX_EXPIRED_KEYS) return expired;
  }
}

// A secret that no longer signs need not be kept, sealed or not.
async function expireOldSecrets(pool: Pool): Promise<number> {
  const result = await pool.query(
    `update webhook_endpoints w set previous_secrets = (
       select coalesce(jsonb_agg(s order by n), '[]') from jsonb_array_elements(w.previous_secrets) with ordinality as e(s, n)
       where (s ->> 'expires_at')::timestamptz > now())
     where exists (
       select 1 from jsonb_array_elements(w.previous_secrets) s where (s ->> 'expires_at')::timestamptz <= now())`,
  );
  return result.rowCount ?? 0;
}
