// The statements that bring forward deliveries, retries and leases that a clock which was ahead put off.
import type { Pool, PoolClient } from 'pg';
import { textArray } from '../array-parameter.ts';
import { MAX_DELAY_MS } from '../../domain/retry-policy.ts';

/** ms. A time further ahead than this was set by a clock that has been set back since. No process and no database is so far off. */
const MAX_LEAD_MS = 10_000;
/**
 * ms. Used once a clock is known to have gone back. A lease that ends later was given by that clock, unless a process leases for longer
 * than twice this process's lease. A first try that waits longer, for a rate limit or a circuit breaker, was put off by that clock.
 */
export const FAR_AHEAD_MS = 600_000;

export interface BroughtForward {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly dueAtMs: number;
}

/**
 * Deliveries made or changed in the future: two ranges of indexes, both empty as long as no clock steps back. A delivery becomes due now, a
 * retry after its own delay, and a lease ends within `leaseMs`. Rows that other sessions are writing are left for the next call. Returns at
 * most 2 * `max`; fewer than `max` are the last.
 */
export async function bringForward(
  client: Pool | PoolClient,
  request: { readonly leaseMs: number; readonly max: number },
): Promise<BroughtForward[]> {
  return run(client, 'bring-forward', fromTheFuture, [request.leaseMs, request.max]);
}

/**
 * The same for given deliveries, once a clock is known to have gone back. Only the distance shows that their leases and waits are wrong.
 */
export async function bringForwardThese(
  client: Pool | PoolClient,
  deliveryIds: readonly string[],
  leaseMs: number,
): Promise<BroughtForward[]> {
  return run(client, 'bring-forward-these', tooFarAhead, [leaseMs, textArray(deliveryIds)]);
}

/** Whether insert leases have expired beyond the present: a clock has been ahead, by more than a lease. */
export async function hasClockGoneBack(client: Pool | PoolClient): Promise<boolean> {
  const { rowCount } = await client.query(
    `select 1 from adoption where adopted_below > id_floor('delivery', now()) collate "C"`,
  );
  return rowCount !== 0;
}

async function run(client: Pool | PoolClient, name: string, text: string, values: unknown[]): Promise<BroughtForward[]> {
  const { rows } = await client.query<[string, string, number]>({ name, text, rowMode: 'array', values });
  return rows.map(([deliveryId, webhookId, dueAtMs]) => ({ deliveryId, webhookId, dueAtMs }));
}

const ms = (value: number | string): string => `${value} * interval '1 millisecond'`;
const leaseFromNow = `date_trunc('milliseconds', now() + ${ms('$1::float8')})`;
const lead = `now() + ${ms(MAX_LEAD_MS)}`;
const isMadeAhead = `(d.id >= id_floor('delivery', ${lead}) collate "C" and d.changed_at is null and d.status = 'pending'
  and d.held_at is null and d.waits is not true and (d.next_attempt_at is null or d.next_attempt_at > now()))`;
const isChangedAhead = `(d.changed_at > ${lead} and d.next_attempt_at is not null)`;
const returned = `returning d.id, d.webhook_id,
  ceil(extract(epoch from greatest(d.next_attempt_at, d.leased_until)) * 1000)::float8`;

const fromTheFuture = `
with late as materialized (
  select o.id from deliveries o
  where o.id = any (array(
    (select d.id from deliveries d where ${isMadeAhead} limit $2)
    union
    (select d.id from deliveries d where ${isChangedAhead} limit $2)
  ))
  order by o.id for update of o skip locked
)
update deliveries d set
  next_attempt_at = now() + case when d.changed_at > ${lead}
    then least(greatest(d.next_attempt_at - d.changed_at, interval '0'), ${ms(MAX_DELAY_MS)}) else interval '0' end,
  changed_at = case when d.changed_at > ${lead} then clock_timestamp() else d.changed_at end,
  leased_until = case when d.leased_until > ${leaseFromNow} then ${leaseFromNow} else d.leased_until end
where d.id = any (array(select id from late)) and (${isMadeAhead} or ${isChangedAhead})
${returned}`;

const isWaitTooLong = `(d.next_attempt_at > now() + ${ms(FAR_AHEAD_MS)} and d.attempt_count = 0)`;
const isLeaseTooLong = `(d.leased_until > now() + ${ms(`greatest(${FAR_AHEAD_MS}, 2 * $1::float8)`)})`;

const tooFarAhead = `
update deliveries d set
  next_attempt_at = case when ${isWaitTooLong} then now() else d.next_attempt_at end,
  leased_until = case when ${isLeaseTooLong} then ${leaseFromNow} else d.leased_until end
where d.id = any ($2::text[]) and d.next_attempt_at is not null and (${isWaitTooLong} or ${isLeaseTooLong})
${returned}`;
