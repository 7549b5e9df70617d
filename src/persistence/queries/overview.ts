// What an overview reads beside the sums of its time: causes, webhooks in trouble, and how many webhooks there are.
import type { PoolClient } from 'pg';
import { textArray } from '../array-parameter.ts';
import type { TroubledWebhook } from './read-sums.ts';

/** More than are shown: the log adds to some of them, and deleted ones are left out. */
const WORST_CANDIDATES = 400;
/** Causes of one overview. */
const MAX_CAUSES = 50;

/** Null for all users. */
type User = string | null;

export async function readCauses(client: PoolClient, userId: User, fromMs: number, toMs: number): Promise<Map<string, number>> {
  const { rows } = await client.query<{ cause: string; n: number }>({
    name: 'overview-causes',
    text: `
      select key as cause, sum(value::bigint)::float8 as n from hour_sums cross join lateral jsonb_each_text(causes)
      where webhook_id = '' and user_id = $1 and hour >= to_timestamp($2::float8 / 1000) and hour < to_timestamp($3::float8 / 1000)
      group by 1 order by 2 desc limit ${MAX_CAUSES}`,
    values: [userId ?? '', fromMs, toMs],
  });
  return new Map(rows.map(({ cause, n }) => [cause, n]));
}

/** From the index of hours in trouble: what went well is not read. */
export async function readWorst(client: PoolClient, userId: User, fromMs: number, toMs: number): Promise<TroubledWebhook[]> {
  const { rows } = await client.query<TroubledWebhook>({
    text: `
      select webhook_id as "webhookId", sum(failed)::integer as failed, sum(retrying)::integer as retrying,
        (extract(epoch from min(hour) filter (where retrying > 0)) * 1000)::float8 as "oldestRetryingMs"
      from hour_sums
      where failed + retrying > 0 and webhook_id <> '' and hour >= to_timestamp($1::float8 / 1000) and hour < to_timestamp($2::float8 / 1000)
        ${userId === null ? '' : 'and user_id = $3'}
      group by 1 order by sum(failed) + sum(retrying) desc, 1 limit ${WORST_CANDIDATES}`,
    values: [fromMs, toMs, ...(userId === null ? [] : [userId])],
  });
  return rows.map((row) => ({ ...row, causes: {} }));
}

/** Groups of an overview. */
const MAX_GROUPS = 50;

/** What went wrong at a webhook that is not summed up yet. */
export interface OpenFailure {
  readonly webhookId: string;
  readonly cause: string;
  readonly deliveries: number;
}

export interface FailureGroup {
  readonly host: string;
  readonly cause: string;
  readonly deliveries: number;
  readonly webhooks: number;
  readonly users: number;
  /** In milliseconds since 1970; null: none of them fails at present. */
  readonly failingSinceMs: number | null;
}

/** By host and cause, over all webhooks. What is summed up is read from the index of hours in trouble. */
export async function readFailureGroups(
  client: PoolClient,
  userId: User,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
  open: readonly OpenFailure[],
): Promise<FailureGroup[]> {
  const { rows } = await client.query<FailureGroup>({
    text: `
      with failed as (
        select h.webhook_id, c.key as cause, sum(c.value::bigint) as n
        from hour_sums h cross join lateral jsonb_each_text(h.causes) c
        where h.failed + h.retrying > 0 and h.webhook_id <> ''
          and h.hour >= to_timestamp($1::float8 / 1000) and h.hour < to_timestamp($2::float8 / 1000)
          ${userId === null ? '' : 'and h.user_id = $6'}
        group by 1, 2
        union all
        select * from unnest($3::text[], $4::text[], $5::integer[])
      )
      select ${hostOf('w.url')} as host, f.cause, sum(f.n)::float8 as deliveries, count(distinct w.id)::integer as webhooks,
        count(distinct w.user_id)::integer as users, floor(extract(epoch from min(w.failing_since)) * 1000)::float8 as "failingSinceMs"
      from failed f join webhook_endpoints w on w.id = f.webhook_id and w.deleted_at is null
      group by 1, 2 order by 3 desc, 1, 2 limit ${MAX_GROUPS}`,
    values: [
      fromMs,
      toMs,
      textArray(open.map(({ webhookId }) => webhookId)),
      textArray(open.map(({ cause }) => cause)),
      open.map(({ deliveries }) => deliveries),
      ...(userId === null ? [] : [userId]),
    ],
  });
  return rows;
}

/** Of a URL as it is stored, so without capitals: what stands between the scheme, or a user's name, and the path. */
const hostOf = (url: string): string => `substring(${url} from '^[a-z]+://(?:[^/?#]*@)?([^/?#]+)')`;

/** What is in the way of each of some webhooks. */
export async function readCausesOf(
  client: PoolClient,
  webhooks: readonly { readonly id: string; readonly userId: string }[],
  fromMs: number,
  toMs: number,
): Promise<Map<string, Record<string, number>>> {
  const { rows } = await client.query<{ webhookId: string; causes: Record<string, number> }>({
    name: 'overview-causes-of',
    text: `
      select webhook_id as "webhookId", jsonb_object_agg(cause, n) as causes from (
        select h.webhook_id, c.key as cause, sum(c.value::integer) as n
        from unnest($1::text[], $2::text[]) as w(id, user_id) join hour_sums h on h.webhook_id = w.id and h.user_id = w.user_id
          and h.hour >= to_timestamp($3::float8 / 1000) and h.hour < to_timestamp($4::float8 / 1000)
        cross join lateral jsonb_each_text(h.causes) c group by 1, 2
      ) x group by 1`,
    values: [textArray(webhooks.map(({ id }) => id)), textArray(webhooks.map(({ userId }) => userId)), fromMs, toMs],
  });
  return new Map(rows.map(({ webhookId, causes }) => [webhookId, causes]));
}

export interface WebhookCounts {
  readonly total: number;
  readonly active: number;
  readonly failing: number;
  readonly disabled: number;
}

export async function countWebhooks(client: PoolClient, userId: User): Promise<WebhookCounts> {
  const { rows } = await client.query<WebhookCounts>(
    `select count(*)::integer as total, count(*) filter (where is_active)::integer as active,
       count(*) filter (where is_active and consecutive_failures > 0)::integer as failing,
       count(*) filter (where disabled_reason is not null)::integer as disabled
     from webhook_endpoints where deleted_at is null ${userId === null ? '' : 'and user_id = $1'}`,
    userId === null ? [] : [userId],
  );
  return rows[0] ?? { total: 0, active: 0, failing: 0, disabled: 0 };
}

/** ms since 1970. The hours with a delivery of any user. */
export async function readUsedHours(client: PoolClient, fromMs: number, toMs: number): Promise<Set<number>> {
  const { rows } = await client.query<{ ms: number }>(
    `select (extract(epoch from hour) * 1000)::float8 as ms from hour_sums
     where webhook_id = '' and user_id = '' and hour >= to_timestamp($1::float8 / 1000) and hour < to_timestamp($2::float8 / 1000)`,
    [fromMs, toMs],
  );
  return new Set(rows.map(({ ms }) => ms));
}
