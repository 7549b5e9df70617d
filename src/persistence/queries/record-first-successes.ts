// The settle statement for what most batches are: first attempts that succeeded. It writes what `record-outcomes.ts` would, for three quarters of the
// processor time: nothing of such an outcome depends on what it replaces.
import { plainArray, textArray } from '../array-parameter.ts';
import { changedAt, isDeliveredAtOnce } from '../delivery-state.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import type { OutcomeRow } from './record-outcomes.ts';
import { noteReleased } from './release-notes.ts';

/** Whether it is a success of the first attempt, with nothing else to say. */
export const isFirstSuccess = (row: OutcomeRow): boolean =>
  row.status === 'delivered' &&
  row.attemptCount === 0 &&
  row.leaseExpirations === 0 &&
  row.trigger === 'automatic' &&
  !row.usesRetry &&
  row.orderingKey === null &&
  row.errorCode === null &&
  row.errorMessage === null &&
  row.responseOddity === null &&
  !row.responseTruncated &&
  row.transcript === null;

/** The query whose rows are those of `recordOutcomes`; it has no failing webhooks to report. */
export const recordFirstSuccesses = (rows: readonly OutcomeRow[], returnsEachTime: boolean) => ({
  name: 'record-first-successes',
  text: statement,
  values: [
    textArray(rows.map((row) => row.deliveryId)),
    plainArray(rows.map((row) => row.startedAtMs)),
    plainArray(rows.map((row) => Math.round(row.durationMs))),
    plainArray(rows.map((row) => row.httpStatus)),
    textArray(rows.map((row) => row.response)),
    returnsEachTime,
  ],
});

// The fence, `late` and the health of a webhook are those of record-outcomes.ts. `failures` is a column, so that the planner looks each webhook up by its
// id: by a constant it reads all webhooks for those that fail.
const statement = `
with outcome as materialized (
  select id, started_ms, duration_ms, http_status, response, number
  from unnest($1::text[], $2::float8[], $3::integer[], $4::integer[], $5::text[]) with ordinality
    as o(id, started_ms, duration_ms, http_status, response, number)
), late as materialized (
  select jsonb_object_agg(id, was) as was from (
    select d.id, ${wasOf('d')} as was from outcome o join deliveries d on d.id = o.id
    where o.id < ${closingBelow} order by d.id for update of d
  ) d
), settled as (
  update deliveries d set
    status = 'delivered',
    attempt_count = 1,
    next_trigger = 'automatic',
    next_attempt_at = null,
    leased_until = null,
    lease_expirations = 0,
    held_at = null,
    attempted_at = to_timestamp(o.started_ms / 1000.0),
    duration_ms = o.duration_ms,
    http_status = o.http_status,
    response = o.response,
    response_truncated = false,
    response_oddity = null,
    error_code = null,
    error_message = null,
    last_trigger = 'automatic',
    delivered_at = now(),
    failed_at = null,
    cancelled_at = null,
    updated_at = clock_timestamp(),
    changed_at = case when not ${isDeliveredAtOnce} then clock_timestamp() end
  from outcome o
  where d.id = o.id and d.attempt_count = 0 and d.status <> 'delivered' and (select was is null or true from late)
  returning o.number, d.id, d.webhook_id, d.user_id, d.event_type, d.status, d.duration_ms, d.http_status, d.error_code, d.release_no,
    d.changed_at is null and not $6 as shares, ${changedAt} as updated_at
), noted as (
  ${noteChanges('s', '(late.was -> s.id)', 'from late cross join settled s where late.was ? s.id')}
), counted as (
  ${noteReleased('settled')}
), health as (
  update webhook_endpoints w set consecutive_failures = h.failures, failing_since = null
  from (select distinct webhook_id, 0 as failures from settled order by webhook_id) h
  where w.id = h.webhook_id and w.consecutive_failures > h.failures
)
select number::integer, status, date_part('epoch', now()) * 1000, null::float8, date_part('epoch', updated_at) * 1000
from settled where not shares
union all
select 0, string_agg(number::text, ','), date_part('epoch', now()) * 1000, null, date_part('epoch', max(updated_at)) * 1000
from settled where shares having count(*) > 0`;
