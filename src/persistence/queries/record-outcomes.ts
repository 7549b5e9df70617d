// The settle statement: the outcomes of a batch of attempts, in one commit.
import type { Pool, PoolClient } from 'pg';
import type { AttemptError, AttemptTrigger, DeliveryStatus, Transcript } from '../../domain/delivery.ts';
import type { ResponseOddity } from '../../domain/response-oddity.ts';
import { plainArray, textArray, nullIfAllDefault } from '../array-parameter.ts';
import { changedAt, isDeliveredAtOnce, isHeld, isUnfinished } from '../delivery-state.ts';
import { lockHeads } from './ordering-heads.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { isFirstSuccess, recordFirstSuccesses } from './record-first-successes.ts';
import { noteReleased } from './release-notes.ts';

export interface OutcomeRow {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** Of a webhook with ordering, when others may wait for it; else null. */
  readonly orderingKey: string | null;
  /** The attempt count that the delivery had when it was taken: the fence. */
  readonly attemptCount: number;
  /** Leases that ran out; each becomes an attempt of its own. */
  readonly leaseExpirations: number;
  readonly trigger: AttemptTrigger;
  readonly status: 'delivered' | 'retrying' | 'failed';
  /** Whether this attempt uses up one of the automatic retries. */
  readonly usesRetry: boolean;
  /** Milliseconds until the next attempt; null when there is none. */
  readonly delayMs: number | null;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly responseTruncated: boolean;
  readonly responseOddity: ResponseOddity | null;
  readonly errorCode: AttemptError | null;
  readonly errorMessage: string | null;
  /** Stands in the row of the attempt alone. */
  readonly transcript: Transcript | null;
}

/** How a delivery stands after its outcome was written. Times in milliseconds since 1970, by PostgreSQL's clock. */
export interface RecordedState {
  readonly status: DeliveryStatus;
  readonly nextAttemptAtMs: number | null;
  readonly deliveredAtMs: number | null;
  readonly failedAtMs: number | null;
  readonly updatedAtMs: number;
}

export interface FailingWebhook {
  readonly webhookId: string;
  readonly consecutiveFailures: number;
  readonly failingForMs: number;
}

export interface RecordedBatch {
  /** One an outcome, in order; undefined: fenced off, since another process has recorded that attempt. */
  readonly states: readonly (RecordedState | undefined)[];
  /** The webhooks that failed in this batch, with how they stand now. */
  readonly failing: readonly FailingWebhook[];
}

/**
 * Writes outcomes. The fence is `attempt_count`: it must be what it was when the delivery was claimed.
 *
 * - A delivery that was cancelled meanwhile keeps its status, unless this attempt delivered it. One that was delivered before stays
 *   delivered.
 * - One that a caller has retried by hand meanwhile is due at once, unless it was delivered.
 * - One that was held meanwhile stays held, unless it has ended.
 * - A failure is written only while its process counts as alive: otherwise another process may be attempting the delivery.
 * @param returnsEachTime false: deliveries that were delivered at once share one row of the reply, with the time of the last; for no
 *   watcher
 * @param holderId the process of these attempts; null when it never had a number, so that its leases can only run out
 */
export async function recordOutcomes(
  client: Pool | PoolClient,
  outcomes: readonly OutcomeRow[],
  returnsEachTime = true,
  holderId: string | null = null,
): Promise<RecordedBatch> {
  // Sorted, so that two batches that share rows cannot deadlock.
  const sorted = [...outcomes.entries()].toSorted(([, a], [, b]) => (a.deliveryId < b.deliveryId ? -1 : 1));
  const rows = sorted.map(([, row]) => row);
  const { rows: recorded } = await client.query<RecordedRow>({
    ...(rows.every(isFirstSuccess) ? recordFirstSuccesses(rows, returnsEachTime) : recordAny(rows, returnsEachTime, holderId)),
    rowMode: 'array',
  });
  const states = Array.from<RecordedState | undefined>({ length: rows.length });
  const failing: FailingWebhook[] = [];
  for (const [number, text, deliveredAtMs, moment, updatedAtMs] of recorded) {
    if (number === null) {
      failing.push({ webhookId: text, consecutiveFailures: updatedAtMs, failingForMs: moment ?? 0 });
      continue;
    }
    if (number === 0) {
      const state = { status: 'delivered', nextAttemptAtMs: null, deliveredAtMs, failedAtMs: null, updatedAtMs } as const;
      for (const quick of text.split(',')) states[sorted[Number(quick) - 1]?.[0] ?? -1] = state;
      continue;
    }
    const status = text as DeliveryStatus;
    states[sorted[number - 1]?.[0] ?? -1] = {
      status,
      nextAttemptAtMs: status === 'failed' ? null : moment,
      deliveredAtMs,
      failedAtMs: status === 'failed' ? moment : null,
      updatedAtMs,
    };
  }
  return { states, failing };
}

/** The query for outcomes of every kind. */
function recordAny(rows: readonly OutcomeRow[], returnsEachTime: boolean, holderId: string | null) {
  const column = <Value>(of: (row: OutcomeRow) => Value): Value[] => rows.map(of);
  const ordered = rows.filter((row) => row.orderingKey !== null);
  return {
    ...(ordered.length === 0 ? withoutOrder : inOrder),
    values: [
      textArray(rows.map((row) => row.deliveryId)),
      nullIfAllDefault(
        column((row) => row.attemptCount),
        0,
        plainArray,
      ),
      nullIfAllDefault(
        column((row) => row.leaseExpirations),
        0,
        plainArray,
      ),
      nullIfAllDefault(
        column((row) => row.trigger),
        'automatic',
        textArray,
      ),
      nullIfAllDefault(
        column((row) => row.status),
        'delivered',
        textArray,
      ),
      nullIfAllDefault(
        column((row) => row.usesRetry),
        false,
        plainArray,
      ),
      nullIfAllDefault(
        column((row) => row.delayMs),
        null,
        plainArray,
      ),
      plainArray(column((row) => row.startedAtMs)),
      plainArray(column((row) => Math.round(row.durationMs))),
      plainArray(column((row) => row.httpStatus)),
      textArray(column((row) => row.response)),
      nullIfAllDefault(
        column((row) => row.responseTruncated),
        false,
        plainArray,
      ),
      nullIfAllDefault(
        column((row) => row.errorCode),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column((row) => row.errorMessage),
        null,
        textArray,
      ),
      returnsEachTime,
      nullIfAllDefault(
        column((row) => row.responseOddity),
        null,
        textArray,
      ),
      holderId,
      nullIfAllDefault(
        column(({ transcript }) => transcript?.requestHeaders ?? null),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column(({ transcript }) => transcript?.responseHeaders ?? null),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column(({ transcript }) => transcript?.remoteAddress ?? null),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column(({ transcript }) => transcript?.tlsVersion ?? null),
        null,
        textArray,
      ),
      ...(ordered.length === 0
        ? []
        : [textArray(ordered.map((row) => row.webhookId)), textArray(ordered.map((row) => row.orderingKey))]),
    ],
  };
}

/**
 * One a delivery: its number in the batch, its status, when it was delivered, when it was given up or is tried next, and when the row was
 * written. One for all that share a row: 0, their numbers, when they were delivered, null, and when the last of them was written. One a
 * failing webhook: null, its id, null, for how many ms it has failed, and how often.
 */
type RecordedRow = [
  number: number | null,
  text: string,
  deliveredAtMs: number | null,
  moment: number | null,
  updatedAtMs: number,
];

/** A first success of a delivery that was leased on insert, soon after it: no indexed column changes. */
const isQuick = `(o.status = 'delivered' and d.attempt_count + o.expirations = 0 and ${isDeliveredAtOnce})`;

/** A caller asked for an attempt by hand while this one was under way, and this one did not deliver: the one by hand follows. */
const isAskedFor = `(d.next_trigger = 'manual' and o.trigger = 'automatic' and o.status <> 'delivered' and d.delivered_at is null
      and ${isUnfinished})`;

/**
 * It was held while this attempt was under way, as may happen to one that is leased in Redis, and the attempt did not end it. It stays held:
 * only a release makes it due.
 */
const staysHeld = `(${isHeld} and o.status <> 'delivered' and (d.delivered_at is null or o.error_code is not distinct from 'shutdown')
      and (o.status = 'retrying' or ${isAskedFor}))`;

/** What was delivered before stays delivered, also when sending it again failed. */
const sentAgain = `case when succeeded or status <> 'delivered' then status else 'failed' end`;

/** Asked once a statement, and only when an attempt of the batch failed. */
const isAlive = `(select $17::text is null or exists (select 1 from holders where id = $17 and ended_at is null))`;

// A first try that succeeded stands in its delivery row alone, unless it has a transcript; every other attempt gets a row of its own.
// Health: one success resets it; a webhook that neither failed nor was failing is not written. `late` reads what a row was before
// `settled` changes it; it is a condition of `settled`, because nothing else promises that order.
const statementOf = (heads: string, locked: string): string => `
with ${heads}outcome as materialized (
  select id, coalesce(attempt_count, 0) as attempt_count, coalesce(expirations, 0) as expirations,
    coalesce(trigger, 'automatic') as trigger, coalesce(status, 'delivered') as status, coalesce(uses_retry, false) as uses_retry,
    delay_ms, started_ms, duration_ms, http_status, response, coalesce(truncated, false) as truncated, error_code, error_message,
    oddity, request_headers, response_headers, remote_address, tls_version, number
  from unnest($1::text[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::boolean[], $7::float8[],
    $8::float8[], $9::integer[], $10::integer[], $11::text[], $12::boolean[], $13::text[], $14::text[], $16::text[], $18::text[], $19::text[],
    $20::text[], $21::text[]) with ordinality
    as o(id, attempt_count, expirations, trigger, status, uses_retry, delay_ms, started_ms, duration_ms, http_status, response,
      truncated, error_code, error_message, oddity, request_headers, response_headers, remote_address, tls_version, number)
  ${locked}
), late as materialized (
  select jsonb_object_agg(id, was) as was from (
    select d.id, ${wasOf('d')} as was from outcome o join deliveries d on d.id = o.id
    where o.id < ${closingBelow} order by d.id for update of d
  ) d
), settled as (
  update deliveries d set
    status = case
      when o.status = 'delivered' or (d.delivered_at is not null and o.error_code is distinct from 'shutdown') then 'delivered'
      when ${staysHeld} then 'pending'
      when ${isAskedFor} then 'retrying'
      when ${isUnfinished} then o.status
      else d.status end,
    attempt_count = d.attempt_count + o.expirations + 1,
    retries_used = d.retries_used + o.uses_retry::integer,
    next_trigger = case when ${isAskedFor} then 'manual' else 'automatic' end,
    next_attempt_at = case when ${staysHeld} then null
      when ${isAskedFor} then coalesce(d.next_attempt_at, now())
      when ${isUnfinished}
      and (d.delivered_at is null or o.error_code is not distinct from 'shutdown')
      then now() + o.delay_ms * interval '1 millisecond' end,
    leased_until = null,
    lease_expirations = 0,
    held_at = case when ${staysHeld} then d.held_at end,
    attempted_at = to_timestamp(o.started_ms / 1000.0),
    duration_ms = o.duration_ms,
    http_status = o.http_status,
    response = o.response,
    response_truncated = o.truncated,
    response_oddity = o.oddity,
    error_code = o.error_code,
    error_message = o.error_message,
    last_trigger = o.trigger,
    delivered_at = case when o.status = 'delivered' then now() else d.delivered_at end,
    failed_at = case when ${isAskedFor} then null
      when o.status = 'failed' and d.delivered_at is null and ${isUnfinished} then now()
      when o.status <> 'delivered' then d.failed_at end,
    cancelled_at = case when o.status <> 'delivered' then d.cancelled_at end,
    updated_at = clock_timestamp(),
    changed_at = case when not ${isQuick} then clock_timestamp() end
  from outcome o
  where d.id = o.id and d.attempt_count = o.attempt_count and d.status <> 'delivered' and (o.status = 'delivered' or ${isAlive})
    and (select was is null or true from late)
  returning o.number, o.expirations, d.id, d.webhook_id, d.attempt_count, d.attempted_at, d.duration_ms, d.http_status, d.response,
    d.response_truncated, d.response_oddity, d.error_code, d.error_message, d.last_trigger, d.status, d.changed_at is null and not $15 as shares,
    ${changedAt} as updated_at,
    d.delivered_at, case d.status when 'failed' then d.failed_at else d.next_attempt_at end as moment,
    o.error_code is null as succeeded, d.user_id, d.event_type, d.release_no,
    o.request_headers, o.response_headers, o.remote_address, o.tls_version
), noted as (
  ${noteChanges('s', '(late.was -> s.id)', 'from late cross join settled s where late.was ? s.id')}
), counted as (
  ${noteReleased('settled', sentAgain)}
), logged as (
  insert into attempts
    (delivery_id, number, started_at, duration_ms, http_status, response, response_truncated, error_code, error_message, trigger,
      response_oddity, request_headers, response_headers, remote_address, tls_version)
  select id, attempt_count, attempted_at, duration_ms, http_status, response, response_truncated, error_code, error_message,
    last_trigger, response_oddity, request_headers, response_headers, remote_address, tls_version
  from settled where attempt_count > 1 or not succeeded or request_headers is not null
  union all
  select id, attempt_count - expirations + n - 1, attempted_at, 0, null, null, false, 'lease_expired',
    'The process that made this attempt died before it could record the outcome.', 'automatic', null, null, null, null, null
  from settled cross join lateral generate_series(1, expirations) n
), health as (
  update webhook_endpoints w set
    consecutive_failures = case when h.succeeded then 0 else w.consecutive_failures + h.failures end,
    failing_since = case when h.succeeded then null else coalesce(w.failing_since, now()) end
  from (
    select webhook_id, bool_or(succeeded) as succeeded, count(*) filter (where not succeeded)::integer as failures
    from settled where error_code is distinct from 'shutdown' and last_trigger <> 'test' group by webhook_id order by webhook_id
  ) h
  where w.id = h.webhook_id and (not h.succeeded or w.consecutive_failures > 0)
  returning w.id, w.consecutive_failures, date_part('epoch', now() - w.failing_since) * 1000 as failing_ms
)
select number::integer, status, date_part('epoch', delivered_at) * 1000, date_part('epoch', moment) * 1000,
  date_part('epoch', updated_at) * 1000
from settled where not shares
union all
select 0, string_agg(number::text, ','), date_part('epoch', now()) * 1000, null, date_part('epoch', max(updated_at)) * 1000
from settled where shares having count(*) > 0
union all
select null, id, null, failing_ms, consecutive_failures from health where consecutive_failures > 0`;

/** What ends lets the next of its key go, in the same transaction (the trigger `deliveries_pass_turn`). Its head is locked before its row. */
const withoutOrder = { name: 'record-outcomes', text: statementOf('', '') };
const inOrder = {
  name: 'record-outcomes-in-order',
  text: statementOf(
    `heads as materialized (
  ${lockHeads('select * from unnest($22::text[], $23::text[]) as c(webhook_id, ordering_key)')}
), `,
    'where (select count(*) from heads) >= 0',
  ),
};
