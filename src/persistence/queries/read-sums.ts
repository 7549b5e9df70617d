// Reads the sums of the delivery log, and the log where there are none. All of it in one snapshot: see transaction.ts.
import type { PoolClient } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { BUCKETS } from '../../domain/latency-histogram.ts';
import { timeOfId } from '../../domain/ids.ts';
import { textArray } from '../array-parameter.ts';
import { bucketOfDuration, causeOf, summed } from './sum-columns.ts';

/** How far the sums have come; ids of deliveries. Before `logFromMs` there is no log any more. */
export interface SumsPlace {
  readonly hoursBelow: string;
  readonly daysBelow: string;
  readonly logFromMs: number;
}

/** Whose rows: both empty for the platform, the webhook alone empty for a user. */
export interface Subject {
  readonly webhookId: string;
  readonly userId: string;
}

export interface SummedBar {
  readonly bar: number;
  readonly counts: readonly [total: number, retrying: number, delivered: number, failed: number, cancelled: number];
  /** By bucket of the histogram. */
  readonly durations: readonly number[];
  /** The hours or days that had a row, in milliseconds since 1970. */
  readonly startsMs: readonly number[];
}

export async function readSumsPlace(client: PoolClient): Promise<SumsPlace> {
  const { rows } = await client.query<SumsPlace>(
    `select hours_below as "hoursBelow", days_below as "daysBelow", (extract(epoch from log_from) * 1000)::float8 as "logFromMs" from summing`,
  );
  if (rows[0] === undefined) throw new Error('the table summing has no row');
  return rows[0];
}

interface SumsRange {
  readonly fromMs: number;
  readonly toMs: number;
  /** Left out: days have the counts there. */
  readonly exceptFromMs: number;
  readonly exceptToMs: number;
  readonly firstBarMs: number;
  readonly widthMs: number;
}

export async function readHourSums(client: PoolClient, { webhookId, userId }: Subject, range: SumsRange): Promise<SummedBar[]> {
  const { fromMs, toMs, exceptFromMs, exceptToMs, firstBarMs, widthMs } = range;
  return read(client, 'read-hour-sums', hours, [
    webhookId,
    userId,
    fromMs,
    toMs,
    firstBarMs,
    widthMs,
    exceptFromMs,
    exceptToMs,
  ]);
}

export async function readDaySums(
  client: PoolClient,
  { webhookId, userId }: Subject,
  { fromMs, toMs, firstBarMs, widthMs }: Omit<SumsRange, 'exceptFromMs' | 'exceptToMs'>,
): Promise<SummedBar[]> {
  return read(client, 'read-day-sums', days, [webhookId, userId, fromMs, toMs, firstBarMs, widthMs]);
}

async function read(client: PoolClient, name: string, text: string, values: unknown[]): Promise<SummedBar[]> {
  const { rows } = await client.query<[number, number[], ...number[]]>({ name, text, values, rowMode: 'array' });
  return rows.map(([bar, startsMs, total = 0, retrying = 0, delivered = 0, failed = 0, cancelled = 0, ...durations]) => ({
    bar,
    startsMs,
    counts: [total, retrying, delivered, failed, cancelled],
    durations: durations.slice(0, BUCKETS),
  }));
}

const hours = `
select floor((ms - $5::float8) / $6::float8)::integer, array_agg(ms), ${summed}
from (
  select *, (extract(epoch from hour) * 1000)::float8 as ms from hour_sums
  where webhook_id = $1 and user_id = $2 and hour >= to_timestamp($3::float8 / 1000) and hour < to_timestamp($4::float8 / 1000)
    and not (hour >= to_timestamp($7::float8 / 1000) and hour < to_timestamp($8::float8 / 1000))
) h group by 1`;

const days = `
select floor((ms - $5::float8) / $6::float8)::integer, array_agg(ms), ${summed}
from (
  select *, (extract(epoch from day::timestamp at time zone 'utc') * 1000)::float8 as ms from day_sums
  where webhook_id = $1 and user_id = $2 and day >= (to_timestamp($3::float8 / 1000) at time zone 'utc')::date
    and day < (to_timestamp($4::float8 / 1000) at time zone 'utc')::date
) d group by 1`;

/** A range of delivery ids that belongs to one bar. */
export interface LogRange {
  readonly bar: number;
  readonly from: string;
  readonly below: string;
}

export interface LogCount {
  readonly bar: number;
  readonly status: DeliveryStatus;
  readonly bucket: number | null;
  readonly cause: string | null;
  readonly count: number;
}

/** Counts one webhook's deliveries in the log. Each range is one of (webhook_id, id); `offset 0` keeps it so. */
export async function countWebhookLog(client: PoolClient, webhookId: string, ranges: readonly LogRange[]): Promise<LogCount[]> {
  if (ranges.length === 0) return [];
  const { rows } = await client.query<LogCount>({
    name: 'count-webhook-log',
    text: `
      select r.bar, d.status, ${bucketOfDuration('d.duration_ms')} as bucket, null as cause, count(*)::integer as count
      from unnest($2::integer[], $3::text[], $4::text[]) as r(bar, first_id, end_id) cross join lateral (
        select status, duration_ms from deliveries where webhook_id = $1 and id >= r.first_id and id < r.end_id offset 0
      ) d group by 1, 2, 3`,
    values: [webhookId, ...arraysOf(ranges)],
  });
  return rows;
}

const arraysOf = (ranges: readonly LogRange[]): [number[], Buffer, Buffer] => [
  ranges.map(({ bar }) => bar),
  textArray(ranges.map(({ from }) => from)),
  textArray(ranges.map(({ below }) => below)),
];

/** The counts of the log, of a user or of all, where there are no sums. */
export interface OpenCounts {
  readonly counts: readonly LogCount[];
  readonly troubled: readonly TroubledWebhook[];
}

export interface TroubledWebhook {
  readonly webhookId: string;
  readonly failed: number;
  readonly retrying: number;
  /** When the oldest of those that are retried was made, or its hour; null when none is. In milliseconds since 1970. */
  readonly oldestRetryingMs: number | null;
  readonly causes: Readonly<Record<string, number>>;
}

/** In the order of ids for all and for users with many webhooks; webhook by webhook for others. */
export async function countOpenLog(
  client: PoolClient,
  whose: { readonly userId: string | null; readonly isByWebhook: boolean },
  ranges: readonly LogRange[],
): Promise<OpenCounts> {
  if (ranges.length === 0) return { counts: [], troubled: [] };
  const { rows } = await client.query<LogCount & { webhookId: string | null; oldestId: string | null }>({
    text: openLog(whose),
    values: [...arraysOf(ranges), ...(whose.userId === null ? [] : [whose.userId])],
  });
  const troubled = new Map<string, MutableTrouble>();
  const counts: LogCount[] = [];
  for (const { webhookId, oldestId, ...row } of rows) {
    if (webhookId === null) counts.push(row);
    else {
      const found = troubled.get(webhookId) ?? { webhookId, failed: 0, retrying: 0, oldestRetryingMs: null, causes: {} };
      troubled.set(webhookId, found);
      if (row.status === 'failed' || row.status === 'retrying') found[row.status] += row.count;
      if (row.status === 'retrying' && oldestId !== null)
        found.oldestRetryingMs = earlier(found.oldestRetryingMs, timeOfId(oldestId));
      if (row.cause !== null) found.causes[row.cause] = (found.causes[row.cause] ?? 0) + row.count;
    }
  }
  return { counts, troubled: [...troubled.values()] };
}

type MutableTrouble = { -readonly [K in keyof Omit<TroubledWebhook, 'causes'>]: TroubledWebhook[K] } & {
  readonly causes: Record<string, number>;
};

/** The earlier of two moments; null is none. */
export function earlier(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

const openLog = ({ userId, isByWebhook }: { userId: string | null; isByWebhook: boolean }): string => {
  const columns = 'd.id, d.webhook_id, d.status, d.duration_ms, d.error_code, d.http_status';
  const range = 'd.id >= r.first_id and d.id < r.end_id';
  const user = userId === null ? '' : 'and d.user_id = $4';
  const rows = isByWebhook
    ? `cross join (select id from webhook_endpoints where user_id = $4) w
       cross join lateral (select ${columns} from deliveries d where d.webhook_id = w.id and ${range} offset 0) d`
    : `cross join lateral (select ${columns} from deliveries d where ${range} ${user} offset 0) d`;
  return `
    with raw as materialized (
      select r.bar, d.id, d.webhook_id, d.status, ${bucketOfDuration('d.duration_ms')} as bucket, ${causeOf('d')} as cause
      from unnest($1::integer[], $2::text[], $3::text[]) as r(bar, first_id, end_id) ${rows}
    )
    select null as "webhookId", null as "oldestId", bar, status, bucket, cause, count(*)::integer as count
    from raw group by bar, status, bucket, cause
    union all
    select webhook_id, min(id), 0, status, null, cause, count(*)::integer from raw where status in ('failed', 'retrying') group by webhook_id, status, cause`;
};
