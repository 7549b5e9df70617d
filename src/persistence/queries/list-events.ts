// Events as their publishers look at them: pages of them, newest first, and how many deliveries each has made.
import type { Pool } from 'pg';
import { Parameters, rangeOf, where } from './delivery-filter.ts';

export interface EventFilter {
  /** Null: of all publishers. */
  readonly publisher: string | null;
  readonly eventType: string | null;
  /** Named by the audience. */
  readonly userId: string | null;
  /** The smallest id that matches; null for no bound. */
  readonly fromId: string | null;
  /** The first id that no longer matches; null for no bound. */
  readonly belowId: string | null;
}

export interface ListedEvent {
  readonly id: string;
  readonly eventType: string;
  readonly publisher: string;
  readonly broadcast: boolean;
  readonly occurredAtMs: number;
  readonly createdAtMs: number;
  /** Counted no further than MAX_DELIVERIES_COUNTED. */
  readonly deliveries: number;
}

/** A page of a hundred broadcasts counts so many rows of each: some 50 ms. */
const MAX_DELIVERIES_COUNTED = 1000;

/** Where a look at `max` events ends, from the newest of the range on: the last id looked at. Null: at the end, or everything passes. */
export async function lookDownEvents(pool: Pool, filter: EventFilter, max: number): Promise<string | null> {
  if (filter.publisher === null && filter.eventType === null && filter.userId === null) return null;
  const values = new Parameters();
  const range = where(rangeOf(filter, values, 'e.id'));
  const { rows } = await pool.query<{ id: string }>(
    `select e.id from events e ${range} order by e.id desc offset ${values.add(max)} limit 1`,
    values.all,
  );
  return rows[0]?.id ?? null;
}

// No index but that of the ids has events: a page reads them one after the other, as far as the filter's range goes.
export async function listEvents(pool: Pool, filter: EventFilter, limit: number): Promise<ListedEvent[]> {
  const values = new Parameters();
  const conditions = rangeOf(filter, values, 'e.id');
  if (filter.publisher !== null) conditions.push(`e.publisher = ${values.add(filter.publisher)}`);
  if (filter.eventType !== null) conditions.push(`e.event_type = ${values.add(filter.eventType)}`);
  if (filter.userId !== null) conditions.push(`e.user_ids @> array[${values.add(filter.userId)}]`);
  const text = `
    select e.id, e.event_type as "eventType", e.publisher, e.broadcast,
      (extract(epoch from e.occurred_at) * 1000)::float8 as "occurredAtMs", (extract(epoch from e.created_at) * 1000)::float8 as "createdAtMs",
      (select count(*)::integer from (
         select 1 from deliveries d where ${ofEvent('e.id')} limit ${MAX_DELIVERIES_COUNTED}) c) as deliveries
    from events e ${where(conditions)} order by e.id desc limit ${values.add(limit)}`;
  const { rows } = await pool.query<ListedEvent>(text, values.all);
  return rows;
}

/** The condition on deliveries `d` of one event: they share the time of its id, so they lie side by side in the primary key. */
export function ofEvent(id: string): string {
  return `d.id >= 'delivery_' || substr(${id}, 7, 10) and d.id <= 'delivery_' || substr(${id}, 7, 10) || '~' and d.event_id = ${id}`;
}
