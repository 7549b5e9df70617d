// Sums up the delivery log, page by page: each delivery once in its hour, once in its day.
import { DAY_MS, floor, HOUR_MS } from '../../domain/time-units.ts';
import { inTransaction } from '../transaction.ts';
import type { Pool, PoolClient } from 'pg';
import { idFloor, timeOfId } from '../../domain/ids.ts';
import { deliveryAt } from './delivery-at.ts';
import { foldLateChanges } from './fold-late-changes.ts';
import {
  added,
  addedWithRare,
  bucketOfDuration,
  BUSY_DELIVERIES,
  causeOf,
  countColumns,
  counted,
  RARE_DELIVERIES,
  TYPED_DELIVERIES,
} from './sum-columns.ts';

/** Deliveries counted by one transaction: some 0.3 s, and no snapshot is old. An hour with more is counted in parts. */
export const PAGE_DELIVERIES = 50_000;
/** Late changes folded by one transaction. */
const MAX_FOLDED = 10_000;
/** A user with more webhooks has a row for every hour, so that an hour without deliveries is never looked up webhook by webhook. */
export const MANY_WEBHOOKS = 100;

/** How far the sums have come; ids of deliveries. */
export interface Place {
  readonly hoursBelow: string;
  readonly daysBelow: string;
  readonly closingBelow: string;
}

/** What one transaction did. Null: another process was at it. */
export type Step = { readonly counted: number; readonly folded: number; readonly isMore: boolean } | null;

/**
 * How each delivery is counted exactly once:
 * 1. `closing_below` moves on (close-sums.ts). Statements that begin after that commit write a late change for whatever they change below it.
 * 2. The caller waits until every transaction has ended that began before. Only then does it call this.
 * 3. This counts the next page, folds all late changes that its snapshot sees, and moves the place, in one transaction.
 * Everything that the snapshot does not see of a counted delivery is a late change that a later snapshot sees.
 *
 * The snapshot is that of the transaction, which begins with the lock of the place: when another process has moved it meanwhile, PostgreSQL
 * refuses to go on (40001), and nothing was done.
 * @param below `closing_below`, as it was before the moment that the caller waited for
 */
export function sumPage(pool: Pool, below: string, pageDeliveries = PAGE_DELIVERIES): Promise<Step> {
  return inPlace(pool, async (client, found) => {
    // Another process may have closed more by now; for that part it is not known whether all writers see it.
    const place = { ...found, closingBelow: found.closingBelow < below ? found.closingBelow : below };
    const hour = await nextHourPage(client, place, pageDeliveries);
    const day = hour === null ? await nextDayPage(client, place, pageDeliveries) : null;
    const page = hour ?? day;
    if (page === null) return { counted: 0, folded: 0, isMore: false };
    const folded = await foldLateChanges(client, place, null);
    let deliveries = 0;
    if (page.firstId !== null) {
      const values = [page.firstId, page.stop, page.sinceMs, page.isPart];
      const { rows } = await client.query<{ total: number | null }>({ text: hour === null ? sumDay : sumHour, values });
      deliveries = rows[0]?.total ?? 0;
    }
    await client.query(`update summing set ${hour === null ? 'days_below' : 'hours_below'} = $1`, [page.stop]);
    return { counted: deliveries, folded, isMore: true };
  });
}

/** Folds late changes, a part of them at a time, so that no page has many to fold. */
export function foldSome(pool: Pool): Promise<Step> {
  return inPlace(pool, async (client, place) => {
    const folded = await foldLateChanges(client, place, MAX_FOLDED);
    return { counted: 0, folded, isMore: folded === MAX_FOLDED };
  });
}

interface Page {
  /** Null: nothing is there; the place moves on. */
  readonly firstId: string | null;
  readonly stop: string;
  /** The hour or day, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** Whether the rest of the hour or day comes with another page. */
  readonly isPart: boolean;
}

async function nextHourPage(client: PoolClient, { hoursBelow, closingBelow }: Place, size: number): Promise<Page | null> {
  if (hoursBelow >= closingBelow) return null;
  const firstId = await idAt(client, hoursBelow, closingBelow, 0);
  // Hours without a delivery are passed over at once.
  if (firstId === null) return { firstId, stop: closingBelow, sinceMs: 0, isPart: false };
  return pageOf(client, { firstId, below: closingBelow, unitMs: HOUR_MS, startedAt: hoursBelow }, size);
}

// A day is counted when it has been counted by hours: until then its deliveries come and change.
async function nextDayPage(client: PoolClient, { hoursBelow, daysBelow }: Place, size: number): Promise<Page | null> {
  const pastDays = idFloor('delivery', floor(timeOfId(hoursBelow), DAY_MS));
  if (daysBelow >= pastDays) return null;
  const firstId = await idAt(client, daysBelow, pastDays, 0);
  if (firstId === null) return { firstId, stop: pastDays, sinceMs: 0, isPart: false };
  return pageOf(client, { firstId, below: pastDays, unitMs: DAY_MS, startedAt: daysBelow }, size);
}

interface Stretch {
  readonly firstId: string;
  readonly below: string;
  readonly unitMs: number;
  /** Where the place stands: within the hour or day, when a part of that is counted already. */
  readonly startedAt: string;
}

async function pageOf(client: PoolClient, stretch: Stretch, size: number): Promise<Page> {
  const { firstId, below, unitMs, startedAt } = stretch;
  const sinceMs = floor(timeOfId(firstId), unitMs);
  const end = idFloor('delivery', sinceMs + unitMs);
  const past = end < below ? end : below;
  const beyond = await idAt(client, firstId, past, size);
  return {
    firstId,
    stop: beyond ?? past,
    sinceMs,
    isPart: beyond !== null || past < end || startedAt > idFloor('delivery', sinceMs),
  };
}

const idAt = (client: PoolClient, fromId: string, belowId: string, offset: number): Promise<string | null> =>
  deliveryAt(client, { fromId, belowId, webhookId: null }, offset);

/** SQLSTATE serialization_failure. */
const MOVED_MEANWHILE = '40001';

/**
 * A transaction in one snapshot. PostgreSQL refuses it when another transaction changed something after its snapshot: the snapshot comes
 * before the lock.
 */
export async function inPlace(pool: Pool, work: (client: PoolClient, place: Place) => Promise<Step>): Promise<Step> {
  try {
    return await inTransaction(pool, 'begin isolation level repeatable read', async (client) => {
      // Losing this commit in a crash loses all of it, and the same deliveries are counted again. The planner has no statistics of tables
      // that were empty a moment ago.
      await client.query('set local synchronous_commit = off; set local enable_seqscan = off');
      const { rows } = await client.query<Place>(
        `select hours_below as "hoursBelow", days_below as "daysBelow", closing_below as "closingBelow" from summing for update`,
      );
      const step = rows[0] === undefined ? null : await work(client, rows[0]);
      // Deleting late changes changes what an older snapshot may count, so a transaction that waits here with one is refused as well.
      if (step !== null && step.folded > 0) await client.query('update summing set hours_below = hours_below');
      return step;
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === MOVED_MEANWHILE) return null;
    throw error;
  }
}

const columns = countColumns.join(', ');

/** The deliveries of a page, and what each webhook, each user and the platform have of them. */
const page = `
with raw as materialized (
  select d.id, d.webhook_id, d.user_id, d.event_type, d.status, ${bucketOfDuration('d.duration_ms')} as b, ${causeOf('d')} as cause
  from deliveries d where d.id >= $1 and d.id < $2
), typed as materialized (
  select webhook_id, user_id, event_type, count(*) as n from raw group by 1, 2, 3
), caused as materialized (
  select webhook_id, user_id, cause, count(*) as n from raw where cause is not null group by 1, 2, 3
), of_webhooks as materialized (
  select webhook_id, user_id, ${counted()} from raw group by 1, 2
)`;

/** Of each webhook, each user (`of` names the columns of the key that are kept) or the platform. */
const mapped = (of: readonly string[], key: 'event_type' | 'cause', from: string): string => {
  const by = of.length === 0 ? '' : `${of.join(', ')}, `;
  return `select ${by}jsonb_object_agg(${key}, n) as map from (select ${by}${key}, sum(n)::bigint as n from ${from} group by ${by}${key}) x
    ${of.length === 0 ? '' : `group by ${of.join(', ')}`}`;
};

const sumOf = countColumns
  .map((column) =>
    column.startsWith('ms_') ? `sum(${column})::integer as ${column}` : `coalesce(sum(${column}), 0)::integer as ${column}`,
  )
  .join(', ');

// An hour that is counted in parts has a row of every webhook and user, with its types: a threshold over a part would leave a row half
// counted. $3: the hour, $4: whether it is a part.
const sumHour = `${page}, of_users as materialized (
  select user_id, ${sumOf} from of_webhooks group by 1
), many as (
  select user_id from webhook_endpoints where deleted_at is null group by 1 having count(*) > ${MANY_WEBHOOKS}
), rare as (
  select jsonb_object_agg(event_type, ids) as rare from (
    select event_type, jsonb_agg(id) as ids from raw group by 1 having count(*) <= ${RARE_DELIVERIES}
  ) r
), put as (
  insert into hour_sums as s (webhook_id, user_id, hour, ${columns}, types, causes, rare)
  select w.webhook_id, w.user_id, to_timestamp($3::float8 / 1000), ${columns},
    case when $4::boolean or total >= ${TYPED_DELIVERIES} then t.map end, c.map, null::jsonb
  from of_webhooks w
  left join (${mapped(['webhook_id', 'user_id'], 'event_type', 'typed')}) t using (webhook_id, user_id)
  left join (${mapped(['webhook_id', 'user_id'], 'cause', 'caused')}) c using (webhook_id, user_id)
  where $4::boolean or total >= ${BUSY_DELIVERIES} or total > delivered
  union all
  select '', user_id, to_timestamp($3::float8 / 1000), ${columns},
    case when $4::boolean or total >= ${TYPED_DELIVERIES} then t.map end, c.map, null::jsonb
  from of_users u
  left join (${mapped(['user_id'], 'event_type', 'typed')}) t using (user_id)
  left join (${mapped(['user_id'], 'cause', 'caused')}) c using (user_id)
  where $4::boolean or total >= ${BUSY_DELIVERIES} or total > delivered or user_id in (select user_id from many)
  union all
  select '', user_id, to_timestamp($3::float8 / 1000), ${countColumns.map((column) => (column.startsWith('ms_') ? 'null::integer' : '0')).join(', ')},
    null::jsonb, null::jsonb, null::jsonb
  from many where user_id not in (select user_id from of_users)
  union all
  select '', '', to_timestamp($3::float8 / 1000), ${sumOf}, (${mapped([], 'event_type', 'typed')}), (${mapped([], 'cause', 'caused')}),
    (select rare from rare)
  from of_webhooks
  on conflict (webhook_id, user_id, hour) do update set ${addedWithRare}
)
select sum(total)::integer as total from of_webhooks`;

// $4 is not needed here: every webhook has a row.
const sumDay = `${page}, put as (
  insert into day_sums as s (webhook_id, user_id, day, ${columns}, types, causes)
  select w.webhook_id, w.user_id, (to_timestamp($3::float8 / 1000) at time zone 'utc')::date, ${columns}, t.map, c.map
  from of_webhooks w
  left join (${mapped(['webhook_id', 'user_id'], 'event_type', 'typed')}) t using (webhook_id, user_id)
  left join (${mapped(['webhook_id', 'user_id'], 'cause', 'caused')}) c using (webhook_id, user_id)
  union all
  select '', '', (to_timestamp($3::float8 / 1000) at time zone 'utc')::date, ${sumOf}, (${mapped([], 'event_type', 'typed')}),
    (${mapped([], 'cause', 'caused')})
  from of_webhooks
  on conflict (webhook_id, user_id, day) do update set ${added}
)
select sum(total)::integer as total from of_webhooks where $4::boolean is not null`;
