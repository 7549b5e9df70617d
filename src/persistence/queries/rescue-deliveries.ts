// The statements that make due at once what a dead process held.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { isLeased, isLeasedOnInsert, isScheduled, isUnfinished } from '../delivery-state.ts';
import { holderOf } from './holders.ts';

export interface Rescued {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly dueAtMs: number;
}

/** What it held in rows: from birth, or claimed from PostgreSQL. Their leases end now, and count as leases that ran out. */
export async function rescueDeliveries(pool: Pool, number: number): Promise<Rescued[]> {
  const { rows } = await pool.query<Rescued>({ name: 'rescue-deliveries', text: statement, values: [number] });
  return rows;
}

/** To which webhooks these are owed, where they still are: what is held in Redis says only which delivery it is. */
export async function listOwed(pool: Pool, deliveryIds: readonly string[]): Promise<Omit<Rescued, 'dueAtMs'>[]> {
  const { rows } = await pool.query<Omit<Rescued, 'dueAtMs'>>({
    name: 'list-owed',
    text: `select d.id as "deliveryId", d.webhook_id as "webhookId" from unnest($1::text[]) as i(id) join deliveries d on d.id = i.id
      where ${isUnfinished}`,
    values: [textArray(deliveryIds)],
  });
  return rows;
}

const isLeasedByIt = `${isLeased} and ${holderOf('d.leased_until')} = $1::integer`;

// What is held from birth is young: a range of ids. What was claimed is due: that part of the schedule is read. A row that another session
// has locked keeps its lease.
const statement = `
with held as materialized (
  select d.id from deliveries d where ${isLeasedOnInsert} and ${isLeasedByIt}
  union all
  select d.id from deliveries d where ${isScheduled} and d.next_attempt_at <= now() and ${isLeasedByIt}
), free as materialized (
  select d.id from deliveries d where d.id = any (array(select id from held)) and ${isLeasedByIt}
  order by d.id for no key update skip locked
)
update deliveries d set
  next_attempt_at = coalesce(d.next_attempt_at, now()),
  leased_until = date_trunc('milliseconds', now())
where d.id = any (array(select id from free)) and ${isUnfinished}
returning d.id as "deliveryId", d.webhook_id as "webhookId", ceil(extract(epoch from d.next_attempt_at) * 1000)::float8 as "dueAtMs"`;
