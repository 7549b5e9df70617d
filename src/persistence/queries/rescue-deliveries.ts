// The statements that make due at once what a dead process had leased.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { isLeased, isLeasedOnInsert, isScheduled, isUnfinished } from '../delivery-state.ts';
import { holderOf } from './holders.ts';

export interface Rescued {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly dueAtMs: number;
}

/** Ends the leases that the process has in rows, by an insert or by a claim. They count as leases that ran out. */
export async function rescueDeliveries(pool: Pool, number: number): Promise<Rescued[]> {
  const { rows } = await pool.query<Rescued>({ name: 'rescue-deliveries', text: statement, values: [number] });
  return rows;
}

/** The webhooks of those that are unfinished. A lease in Redis names the delivery alone. */
export async function listUnfinished(pool: Pool, deliveryIds: readonly string[]): Promise<Omit<Rescued, 'dueAtMs'>[]> {
  const { rows } = await pool.query<Omit<Rescued, 'dueAtMs'>>({
    name: 'list-unfinished',
    text: `select d.id as "deliveryId", d.webhook_id as "webhookId" from unnest($1::text[]) as i(id) join deliveries d on d.id = i.id
      where ${isUnfinished}`,
    values: [textArray(deliveryIds)],
  });
  return rows;
}

const isLeasedByIt = `${isLeased} and ${holderOf('d.leased_until')} = $1::integer`;

// What was leased on insert is a range of young ids. What was claimed is due, so that part of the schedule is read. A row that another
// session has locked keeps its lease.
const statement = `
with leased as materialized (
  select d.id from deliveries d where ${isLeasedOnInsert} and ${isLeasedByIt}
  union all
  select d.id from deliveries d where ${isScheduled} and d.next_attempt_at <= now() and ${isLeasedByIt}
), free as materialized (
  select d.id from deliveries d where d.id = any (array(select id from leased)) and ${isLeasedByIt}
  order by d.id for no key update skip locked
)
update deliveries d set
  next_attempt_at = coalesce(d.next_attempt_at, now()),
  leased_until = date_trunc('milliseconds', now())
where d.id = any (array(select id from free)) and ${isUnfinished}
returning d.id as "deliveryId", d.webhook_id as "webhookId", ceil(extract(epoch from d.next_attempt_at) * 1000)::float8 as "dueAtMs"`;
