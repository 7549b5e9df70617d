// Moves the id below which every change of a delivery is written down, and finds out when all writers see it.
import type { Pool } from 'pg';
import { idFloor } from '../../domain/ids.ts';
import { horizonWithin } from './horizon.ts';
import { DAY_MS, HOUR_MS } from '../../domain/time-units.ts';
import { inPlace, PAGE_DELIVERIES, type Place } from './sum-log.ts';

/** ms. It stays at least so far back: most first tries end before, and write nothing. */
const CLOSING_LAG_MS = 60_000;
/** ms. Further ahead of the database's clock it was moved by a clock that has been set back since. */
const MAX_LEAD_MS = 10_000;
const MAX_TRANSACTION = '10 minutes';

/** The place, and when it was read, by the database's clock. */
export interface DatedPlace extends Place {
  readonly at: string;
  readonly nowMs: number;
  readonly hasBegun: boolean;
}

export async function readPlace(pool: Pool): Promise<DatedPlace> {
  const { rows } = await pool.query<DatedPlace>(
    `select hours_below as "hoursBelow", days_below as "daysBelow", closing_below as "closingBelow", begins_at <= now() as "hasBegun",
       clock_timestamp()::text as at, (extract(epoch from clock_timestamp()) * 1000)::float8 as "nowMs" from summing`,
  );
  if (rows[0] === undefined) throw new Error('the table summing has no row');
  return rows[0];
}

/**
 * Closes the hours that are over, and what is older than a minute where that is more than a page. So a reader never reads more than that of
 * the open rest. Returns whether anything moved.
 */
export async function closeSums(pool: Pool, { hoursBelow, closingBelow, nowMs }: DatedPlace): Promise<boolean> {
  // One at a time: what is closed twice would be waited for twice.
  if (hoursBelow < closingBelow) return false;
  const latestMs = nowMs - CLOSING_LAG_MS;
  const latest = idFloor('delivery', latestMs);
  const hour = idFloor('delivery', Math.floor(latestMs / HOUR_MS) * HOUR_MS);
  const from = closingBelow > hour ? closingBelow : hour;
  const { rowCount: isMore } = await pool.query(
    'select 1 from deliveries where id >= $1 and id < $2 order by id offset $3::integer limit 1',
    [from, latest, PAGE_DELIVERIES],
  );
  const next = isMore === 0 ? hour : latest;
  if (next <= closingBelow) return false;
  await pool.query('update summing set closing_below = $1 where closing_below < $1', [next]);
  return true;
}

/** Whether every transaction that began before a moment has ended. Run it in a statement of its own, before the page is counted. */
export async function haveAllEnded(pool: Pool, at: string): Promise<boolean> {
  const { rows } = await pool.query<{ past: boolean }>(
    `select horizon > $1::timestamptz as past from (${horizonWithin(MAX_TRANSACTION)}) h`,
    [at],
  );
  return rows[0]?.past === true;
}

/**
 * Used when a clock that was ahead has been set back. Sums of future hours are deleted, and counted anew when those hours are over. Until
 * then writers there write nothing down. Returns whether there was such a clock.
 */
export async function takeBackSums(pool: Pool, { closingBelow, nowMs }: DatedPlace): Promise<boolean> {
  if (closingBelow <= idFloor('delivery', nowMs + MAX_LEAD_MS)) return false;
  const hourMs = Math.floor((nowMs - CLOSING_LAG_MS) / HOUR_MS) * HOUR_MS;
  const dayMs = Math.floor(hourMs / DAY_MS) * DAY_MS;
  await inPlace(pool, async (client, { hoursBelow, daysBelow }) => {
    // The sums above the new place are deleted. A day that is over in part is counted again as a whole.
    await client.query('delete from hour_sums where hour >= to_timestamp($1::float8 / 1000)', [hourMs]);
    await client.query(`delete from day_sums where day >= (to_timestamp($1::float8 / 1000) at time zone 'utc')::date`, [dayMs]);
    const hour = idFloor('delivery', hourMs);
    const day = idFloor('delivery', dayMs);
    await client.query('update summing set closing_below = $1, hours_below = $2, days_below = $3', [
      hour,
      hoursBelow < hour ? hoursBelow : hour,
      daysBelow < day ? daysBelow : day,
    ]);
    return null;
  });
  return true;
}
