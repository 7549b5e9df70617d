// All of a claimed delivery that an attempt uses, in one select.
import type { Pool } from 'pg';
import type { AttemptTrigger } from '../../domain/delivery.ts';
import { plainArray, textArray } from '../array-parameter.ts';
import { isHeld, isUnfinished, isWaiting, orderingKeyOf } from '../delivery-state.ts';

export interface TaskOrdering {
  readonly key: string;
  readonly sequence: number;
}

export interface LoadedDelivery {
  readonly id: string;
  readonly webhookId: string;
  readonly userId: string;
  readonly revision: number;
  readonly eventId: string;
  readonly eventType: string;
  /** Canonical JSON text; null when the event's row is missing or damaged. */
  readonly data: string | null;
  /** Of the schema of its type when it was published; null: the type had none. */
  readonly schemaVersion: number | null;
  readonly occurredAtMs: number;
  readonly traceparent: string | null;
  /** When the delivery was committed, in milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly attemptCount: number;
  readonly retriesUsed: number;
  readonly trigger: AttemptTrigger;
  /** Of an event with an ordering key; else null. */
  readonly ordering: TaskOrdering | null;
  /** The key of the head that is locked before it ends, since others of its webhook may wait for it; null: none does. */
  readonly chain: string | null;
  /** Only the newest with the same is sent. */
  readonly collapseKey: string | null;
  /** No attempt begins later, in milliseconds since 1970; null: there is no such moment. */
  readonly deliverBeforeMs: number | null;
  /** Milliseconds until it may be attempted by this process; null once it has come to an end, and while it is held. */
  readonly waitMs: number | null;
  /** How many leases in the row ran out without an outcome. 0 when the caller holds the lease in the row: its claim has counted them. */
  readonly rowExpirations: number;
}

/**
 * Loads deliveries by id; unknown ids are left out. The schedule is only an index, so the row itself says whether its time has come:
 * `waitMs` above zero means that the schedule was early, or that another process has leased the row. The caller's own lease in the row is
 * no obstacle: its end in milliseconds is the token.
 */
export async function loadDeliveries(
  pool: Pool,
  leases: readonly { readonly deliveryId: string; readonly token: number }[],
): Promise<LoadedDelivery[]> {
  const result = await pool.query<
    [
      string,
      string,
      string,
      number,
      string,
      string,
      string | null,
      number | null,
      number,
      string | null,
      number,
      number,
      number,
      AttemptTrigger,
      number | null,
      number,
      string | null,
      string | null,
      string | null,
      string | null,
      number | null,
    ]
  >({
    name: 'load-deliveries',
    text: statement,
    rowMode: 'array',
    values: [textArray(leases.map((lease) => lease.deliveryId)), plainArray(leases.map((lease) => lease.token))],
  });
  return result.rows.map(
    ([
      id,
      webhookId,
      userId,
      revision,
      eventId,
      eventType,
      data,
      schemaVersion,
      occurredAtMs,
      traceparent,
      createdAtMs,
      attemptCount,
      retriesUsed,
      trigger,
      waitMs,
      rowExpirations,
      orderingKey,
      sequence,
      chain,
      collapseKey,
      deliverBeforeMs,
    ]) => ({
      id,
      webhookId,
      userId,
      revision,
      eventId,
      eventType,
      data,
      schemaVersion,
      occurredAtMs,
      traceparent,
      createdAtMs,
      attemptCount,
      retriesUsed,
      trigger,
      ordering: orderingKey === null ? null : { key: orderingKey, sequence: Number(sequence) },
      chain,
      collapseKey,
      deliverBeforeMs,
      waitMs,
      rowExpirations,
    }),
  );
}

// A nested loop from the ids: each look-up prunes to the one partition that can hold it.
const statement = `
select d.id, d.webhook_id, d.user_id, coalesce(w.revision, 0), d.event_id, d.event_type,
  case when left(e.data, 1) = '{' and right(e.data, 1) = '}' then e.data end, e.schema_version,
  coalesce((extract(epoch from e.occurred_at) * 1000)::float8, 0), e.traceparent,
  (extract(epoch from d.created_at) * 1000)::float8, d.attempt_count, d.retries_used, d.next_trigger,
  case when not (${isUnfinished}) or (${isHeld}) or (${isWaiting}) then null
    else greatest(0, extract(epoch from greatest(d.next_attempt_at, foreign_lease.until) - clock_timestamp()) * 1000)::float8 end,
  case when foreign_lease.until is null and d.leased_until is not null then 0
    else d.lease_expirations + (foreign_lease.until is not null)::integer end,
  ${orderingKeyOf('d')}, d.sequence,
  case when d.waits is not null or d.collapse_key is not null or d.status = 'cancelled' then d.ordering_key end, d.collapse_key,
  (extract(epoch from d.deliver_before) * 1000)::float8
from unnest($1::text[], $2::float8[]) as i(id, token)
join deliveries d on d.id = i.id
cross join lateral (
  select case when abs(extract(epoch from d.leased_until) * 1000 - i.token) < 1 then null else d.leased_until end as until
) as foreign_lease
left join events e on e.id = d.event_id
left join webhook_endpoints w on w.id = d.webhook_id`;
