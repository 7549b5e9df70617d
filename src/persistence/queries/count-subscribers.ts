// How many webhooks match each broadcast, before anything of it is written.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { hasPatternFor, isActive, namesType } from '../matching.ts';

/** Returns a number for each event type, in order: how many webhooks would get it, counted up to `max`. */
export async function countSubscribers(pool: Pool, eventTypes: readonly string[], max: number): Promise<number[]> {
  const result = await pool.query<{ webhooks: number }>({
    name: 'count-subscribers',
    text: statement,
    values: [textArray(eventTypes), max],
  });
  return result.rows.map((row) => row.webhooks);
}

// The same webhooks as in `targets` of insert-events.ts.
const statement = `
select counted.webhooks
from unnest($1::text[]) with ordinality as asked(event_type, number)
cross join lateral (
  select count(*)::integer as webhooks from (
    (select 1 from webhook_endpoints where ${namesType('asked.event_type')} and ${isActive} limit $2::integer)
    union all
    (select 1 from webhook_endpoints where ${hasPatternFor('asked.event_type')} and ${isActive} limit $2::integer)
    limit $2::integer
  ) subscribed
) counted
order by asked.number`;
