// The statements that put deliveries of a paused webhook into the hold.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { holdsEverything, isLeased, isScheduled, isUnfinished, putOnHold } from '../delivery-state.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { noteHeldAgain } from './release-notes.ts';

/**
 * Holds what a process has in its hands and does not send. Returns those that are held now: the others belong to a webhook that is not
 * paused any more, have come to an end, or have a row that another session has locked. A lease in the row ends with this.
 */
export async function holdDeliveries(pool: Pool, deliveryIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'hold-deliveries',
    text: holdThese,
    values: [textArray(deliveryIds)],
  });
  return new Set(rows.map(({ id }) => id));
}

/**
 * Holds up to `max` scheduled deliveries of a paused webhook, earliest first. What a process has leased in its row is passed over: that
 * process holds it itself. One that is leased in Redis may be held while its request is under way; its outcome then decides
 * (record-outcomes.ts). Returns how many were held.
 */
export async function gatherScheduled(pool: Pool, webhookId: string, max: number): Promise<number> {
  const { rows } = await pool.query<{ count: number }>({ name: 'gather-scheduled', text: gather, values: [webhookId, max] });
  return rows[0]?.count ?? 0;
}

// Rows that another session has locked are passed over: waiting here would wait against the recorder.
const held = `d as (
  update deliveries t set ${putOnHold} where t.id = any (array(select id from picked))
  returning t.*
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
), counted as (
  ${noteHeldAgain('picked')}
)`;

const holdThese = `
with picked as materialized (
  select d.id, d.release_no, ${wasOf('d')} as was
  from unnest($1::text[]) as i(id) join deliveries d on d.id = i.id
  where ${isUnfinished}
    and exists (select 1 from webhook_endpoints w where w.id = d.webhook_id and ${holdsEverything('w')})
  order by d.id for update of d skip locked
), ${held}
select id from picked`;

// Measured with 100,000 scheduled ones of a webhook: 66 us each, 132 ms a statement of 2,000.
const gather = `
with picked as materialized (
  select d.id, d.release_no, ${wasOf('d')} as was
  from deliveries d
  where d.webhook_id = $1 and ${isScheduled} and ${isUnfinished}
    and (${isLeased}) is not true
    and exists (select 1 from webhook_endpoints w where w.id = $1 and ${holdsEverything('w')})
  order by d.next_attempt_at limit $2 for update of d skip locked
), ${held}
select count(*)::integer as count from picked`;
