// Housekeeping, by the leader alone: partitions ahead and past retention, idempotency keys and old secrets that expired.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import type { Logger } from '../telemetry/log.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import type { RecountedDay } from '../persistence/queries/recount-day.ts';
import { expireReleases, MAX_EXPIRED_RELEASES } from '../persistence/queries/expire-releases.ts';
import { findClosedWebhooks } from '../persistence/queries/find-closed-webhooks.ts';
import { expireCollapseHeads, expireHeads, MAX_EXPIRED_HEADS } from '../persistence/queries/ordering-heads.ts';
import { readClocks } from './clock-difference.ts';
import { buildLateIndex } from './late-index.ts';
import { expireHeldDeliveries } from './held-retention.ts';
import { createPartitions } from './partitions.ts';
import { Recount } from './recount.ts';
import { dropPastDays } from './retention.ts';

/** Partitions are made days ahead and keys live for a day: once a minute is soon enough for all of it. */
const INTERVAL_MS = 60_000;
/** Rows deleted by one statement, so that no statement holds its locks for long. */
const MAX_EXPIRED_KEYS = 5000;
const MAX_EXPIRED_SUMS = 5000;
const MAX_EXPIRED_CHANGES = 5000;
/** Days beyond retention: a day of the log is dropped up to a day after it is past. */
const RELEASES_BEYOND_DAYS = 2;
/** Days. Long enough to look back from one season to the same of the year before. */
const KEPT_CHANGES_DAYS = 365;
/** Looked after in one round. */
const MAX_CLOSED_WEBHOOKS = 100;
/** Closed longer ago than this, in milliseconds, a webhook is not looked at: what is left of it is cancelled when its turn comes. */
const CLOSED_WITHIN_MS = 86_400_000;

export interface HousekeeperOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly retentionDays: number;
  /** Days for which statistics are kept. */
  readonly statsDays: number;
  /** Called with a day whose statistics differ from the log. */
  readonly onWrongSums: (day: RecountedDay) => void;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** This machine's own clock, in milliseconds since 1970. */
  readonly processNowMs?: () => number;
  readonly log: Logger;
  /** Called with held deliveries that were cancelled because they are past retention. */
  readonly onHeldExpired: (deliveries: readonly DeliveryRow[]) => void;
  /** Ends what waits for a closed webhook. */
  readonly endWaiting: (webhookId: string) => Promise<void>;
}

export class Housekeeper implements LongRunning {
  readonly name = 'housekeeper';
  readonly #options: HousekeeperOptions;
  readonly #recount: Recount;
  readonly #task: PeriodicTask;

  constructor(options: HousekeeperOptions) {
    this.#options = options;
    this.#recount = new Recount({ pool: options.pool, onWrong: options.onWrongSums });
    this.#task = new PeriodicTask(
      () => this.#run(),
      INTERVAL_MS,
      () => undefined,
    );
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  async #run(): Promise<void> {
    const { isLeading, log } = this.#options;
    for (const [name, job] of jobs(this.#options, this.#recount, this.#task.signal)) {
      if (!isLeading()) return;
      // Each by itself: one that cannot be done must not keep the others from being done.
      await job().then(
        (done) => done > 0 && log.info({ job: name, count: done }, 'housekeeping'),
        (error: unknown) => log.warn({ err: error, job: name }, 'housekeeping failed; it is repeated in a minute'),
      );
    }
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }
}

/** Each can be done at any time, by any process, again and again; each answers how much it did. */
function jobs(options: HousekeeperOptions, recount: Recount, signal: AbortSignal): [string, () => Promise<number>][] {
  const { pool, now, log } = options;
  return [
    ['partitions made', () => createPartitions(pool, now(), (message) => log.warn({ job: 'partitions made' }, message))],
    // Before days are dropped: one with something held stays.
    ['held deliveries past retention', () => expireHeldDeliveries(options)],
    ['partitions dropped', async () => (await dropPastDays(options)).length],
    ['idempotency keys expired', () => expireKeys(options, 'idempotency_keys')],
    ['answers of calls with a key expired', () => expireKeys(options, 'idempotent_calls')],
    ['old secrets expired', () => expireOldSecrets(options)],
    ['sums expired', () => expireSums(options)],
    ['silent ordering and collapse keys forgotten', () => expireSilentKeys(options)],
    ['history of webhooks expired', () => expireChanges(options)],
    ['releases expired', () => expireEndedReleases(options)],
    ['days of statistics that differ from the log', () => recount.run()],
    ['closed webhooks with deliveries that waited', () => endAbandoned(options)],
    // Last, for the others wait for it: minutes, perhaps.
    ['indexes built', () => buildLateIndex({ ...options, signal })],
  ];
}

// Left behind by a process that died between closing a webhook and cancelling, or by a publish that raced with the closing.
async function endAbandoned({ pool, isLeading, endWaiting }: HousekeeperOptions): Promise<number> {
  const webhookIds = await findClosedWebhooks(pool, { closedWithinMs: CLOSED_WITHIN_MS, max: MAX_CLOSED_WEBHOOKS });
  for (const webhookId of webhookIds) if (isLeading()) await endWaiting(webhookId);
  return webhookIds.length;
}

/** Batch by batch while this process leads and the clocks agree, until a batch is not full: by a wrong clock what is still wanted would go. */
async function inBatches(
  { pool, isLeading, processNowMs }: HousekeeperOptions,
  maxOfBatch: number,
  expireBatch: () => Promise<number | null>,
): Promise<number> {
  let expired = 0;
  for (let count = maxOfBatch; count === maxOfBatch;) {
    if (!isLeading() || !(await readClocks(pool, processNowMs)).agree) break;
    count = (await expireBatch()) ?? 0;
    expired += count;
  }
  return expired;
}

// A key that goes too early lets a repeated call through as a new one.
function expireKeys(options: HousekeeperOptions, table: 'idempotency_keys' | 'idempotent_calls'): Promise<number> {
  return inBatches(options, MAX_EXPIRED_KEYS, async () => {
    const result = await options.pool.query(
      `delete from ${table} where ctid = any (array(
         select ctid from ${table} where expires_at < now() limit $1 for update skip locked))`,
      [MAX_EXPIRED_KEYS],
    );
    return result.rowCount;
  });
}

// Hours leave with the log, days when they are no longer to be kept.
async function expireSums(options: HousekeeperOptions): Promise<number> {
  let expired = 0;
  for (const past of [
    'hour_sums where hour < (select log_from from summing)',
    `day_sums where day < (now() at time zone 'utc')::date - ${options.statsDays}`,
  ]) {
    const [table] = past.split(' ');
    expired += await inBatches(options, MAX_EXPIRED_SUMS, async () => {
      const result = await options.pool.query(
        `delete from ${table} where ctid = any (array(select ctid from ${past} limit ${MAX_EXPIRED_SUMS}))`,
      );
      return result.rowCount;
    });
  }
  return expired;
}

// As old as what is kept of the log: no delivery is left that has a number of such a key.
async function expireSilentKeys(options: HousekeeperOptions): Promise<number> {
  const days = options.retentionDays + 1;
  const ordering = await inBatches(options, MAX_EXPIRED_HEADS, () => expireHeads(options.pool, days));
  return ordering + (await inBatches(options, MAX_EXPIRED_HEADS, () => expireCollapseHeads(options.pool, days)));
}

function expireChanges(options: HousekeeperOptions): Promise<number> {
  return inBatches(options, MAX_EXPIRED_CHANGES, async () => {
    const result = await options.pool.query(
      `delete from webhook_changes where no = any (array(
         select no from webhook_changes where at < now() - make_interval(days => ${KEPT_CHANGES_DAYS}) order by at limit $1))`,
      [MAX_EXPIRED_CHANGES],
    );
    return result.rowCount;
  });
}

// What they made due was published before they ended, so by then no delivery is left that names them.
function expireEndedReleases(options: HousekeeperOptions): Promise<number> {
  const keptDays = options.retentionDays + RELEASES_BEYOND_DAYS;
  return inBatches(options, MAX_EXPIRED_RELEASES, () => expireReleases(options.pool, keptDays));
}

// A secret that no longer signs need not be kept, sealed or not.
async function expireOldSecrets({ pool, processNowMs }: HousekeeperOptions): Promise<number> {
  if (!(await readClocks(pool, processNowMs)).agree) return 0;
  const result = await pool.query(
    `update webhook_endpoints w set previous_secrets = (
       select coalesce(jsonb_agg(s order by n), '[]') from jsonb_array_elements(w.previous_secrets) with ordinality as e(s, n)
       where (s ->> 'expires_at')::timestamptz > now())
     where exists (
       select 1 from jsonb_array_elements(w.previous_secrets) s where (s ->> 'expires_at')::timestamptz <= now())`,
  );
  return result.rowCount ?? 0;
}
