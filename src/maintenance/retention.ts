// Retention: days older than what is kept are dropped, a few a round, and never with a delivery that is still to be tried.
import type { Pool } from 'pg';
import { idFloor } from '../domain/ids.ts';
import { isHeld, isScheduled, isWaiting } from '../persistence/delivery-state.ts';
import type { Logger } from '../telemetry/log.ts';
import { readClocks } from './clock-difference.ts';
import { DAY_MS } from '../domain/time-units.ts';
import { inShortTransaction, partitionDays, startOfDay } from './partitions.ts';
import { isUnfinished } from '../persistence/delivery-state.ts';

/**
 * Days dropped by one round, which is a minute. Retention needs one a day, and a shorter retention takes effect within minutes. A clock
 * that is wrong everywhere costs so many days a minute, not the whole log at once.
 */
const MAX_DAYS_A_ROUND = 2;
/** Deliveries read by one statement, some 50 ms: a day is read in many short ones, so that no snapshot is old. */
const PAGE_DELIVERIES = 50_000;
/**
 * In the order they are dropped; a delivery never outlives its event. Each has a transaction of its own: the statements of the service
 * lock these tables in different orders, so a transaction that locks two of them would deadlock under load.
 */
const PARENTS = ['deliveries', 'attempts', 'events'] as const;

export interface RetentionOptions {
  readonly pool: Pool;
  readonly retentionDays: number;
  /** Asked before each step: reading a day takes long enough to lose leadership meanwhile. */
  readonly isLeading: () => boolean;
  readonly log: Logger;
  /** This machine's own clock, in milliseconds since 1970. */
  readonly processNowMs?: () => number;
}

/** Drops what is past retention, each day announced in the log before. Returns the names of the tables that are gone. */
export async function dropPastDays(options: RetentionOptions): Promise<string[]> {
  const { pool, isLeading, log } = options;
  const dropped: string[] = [];
  let days = 0;
  for (const name of await partitionDays(pool)) {
    const day = dayOf(name);
    if (days === MAX_DAYS_A_ROUND || !(await mayDrop(options, day))) break;
    const deliveries = await countFinished(options, day);
    // Asked again at the very moment of dropping: the day was read for minutes, perhaps.
    if (deliveries === null || !(await mayDrop(options, day))) continue;
    log.info({ day: name, deliveries }, 'a day is past retention and is dropped');
    // Said before it is true: of what goes now, sums are all there is.
    await pool.query('update summing set log_from = $1 where log_from < $1', [new Date(day.endMs)]);
    for (const parent of PARENTS) {
      if (!isLeading() || !(await dropPartition(pool, parent, day))) break;
      dropped.push(`${parent}_${name}`);
    }
    days += 1;
  }
  return dropped;
}

interface Day {
  /** As in the names of its partitions: 20261128. */
  readonly name: string;
  readonly endMs: number;
  /** The smallest delivery ids of it and of the day after. */
  readonly firstId: string;
  readonly endId: string;
}

function dayOf(name: string): Day {
  const startMs = startOfDay(name);
  const endMs = startMs + DAY_MS;
  return { name, endMs, firstId: idFloor('delivery', startMs), endId: idFloor('delivery', endMs) };
}

/** Asked at the moment of dropping, by the clocks of that moment. */
async function mayDrop({ pool, retentionDays, isLeading, log, processNowMs }: RetentionOptions, day: Day): Promise<boolean> {
  if (!isLeading()) return false;
  const { databaseMs, differenceMs, agree } = await readClocks(pool, processNowMs);
  const firstKeptMs = databaseMs - (databaseMs % DAY_MS) - retentionDays * DAY_MS;
  if (!(day.endMs <= firstKeptMs) || !isLeading()) return false;
  if (!agree)
    log.warn(
      { day: day.name, difference_ms: differenceMs },
      'nothing is dropped while the clocks of database and process differ',
    );
  return agree;
}

/**
 * How many deliveries a day has when all of them have come to their end; null when one has not, or when what was leased on insert may
 * still be among them. After this, a delivery of that day becomes unfinished only by an insert below `adopted_below` or by a retry by hand.
 * Both schedule it, so the drop itself needs to look only at what is scheduled.
 */
async function countFinished({ pool, isLeading, log }: RetentionOptions, day: Day): Promise<number | null> {
  if (await isExpected(pool, day)) return null;
  let deliveries = 0;
  let forgotten = 0;
  for (let from: string | null = day.firstId; from !== null;) {
    if (!isLeading()) return null;
    const { rows }: { rows: Page[] } = await pool.query<Page>({
      name: 'read-past-day',
      text: readPage,
      values: [from, day.endId, PAGE_DELIVERIES],
    });
    deliveries += rows[0]?.deliveries ?? 0;
    forgotten += rows[0]?.forgotten ?? 0;
    from = rows[0]?.next ?? null;
  }
  if (forgotten === 0) return deliveries;
  log.warn({ day: day.name, count: forgotten }, 'a day past retention has deliveries that nothing had scheduled; they are due');
  return null;
}

/** Whether something of the day is scheduled, or may be leased on insert, or is not summed up yet. The first is answered by an index that finished days are not in. */
async function isExpected(pool: Pool, day: Day): Promise<boolean> {
  const { rowCount } = await pool.query(
    `select 1 from adoption where adopted_below < $2
     union all select 1 from summing where days_below < $2
     union all (${anyScheduled}) limit 1`,
    [day.firstId, day.endId],
  );
  return rowCount !== 0;
}

/** False when it was left: something of the day was scheduled in the meantime. */
function dropPartition(pool: Pool, parent: (typeof PARENTS)[number], day: Day): Promise<boolean> {
  return inShortTransaction(pool, async (client) => {
    // From here on inserts and retries by hand wait for this lock, which lasts for milliseconds.
    await client.query(`lock table only ${parent} in access exclusive mode`);
    const { rowCount } = await client.query(anyScheduled, [day.firstId, day.endId]);
    if (rowCount !== 0) return false;
    await client.query(`drop table if exists ${parent}_${day.name}`);
    return true;
  });
}

const anyScheduled = `(select 1 from deliveries d where d.id >= $1 and d.id < $2 and ${isScheduled} limit 1)
  union all (select 1 from deliveries d where d.id >= $1 and d.id < $2 and ${isHeld} limit 1)
  union all (select 1 from deliveries d where d.id >= $1 and d.id < $2 and ${isWaiting} limit 1)`;

interface Page {
  readonly deliveries: number;
  /** Pending and in no schedule: a clock that was ahead made the rescue pass them by. They are scheduled here. */
  readonly forgotten: number;
  /** Where the next page begins; null behind the last. */
  readonly next: string | null;
}

const readPage = `
with page as materialized (
  select id, status, next_attempt_at, held_at, waits from deliveries where id >= $1 and id < $2 order by id limit $3
), forgotten as (
  update deliveries d set next_attempt_at = now()
  where d.id = any (array(select id from page where status in ('pending', 'retrying') and next_attempt_at is null
      and held_at is null and waits is not true))
    and ${isUnfinished} and d.next_attempt_at is null and d.held_at is null and d.waits is not true
  returning 1
)
select count(*)::integer as deliveries, (select count(*)::integer from forgotten) as forgotten,
  case when count(*) = $3 then max(id) || '0' end as next
from page`;
