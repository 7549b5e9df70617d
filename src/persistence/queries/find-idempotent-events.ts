// What was published before under the same idempotency keys.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';

export interface PublishedBefore {
  readonly eventId: string;
  readonly requestHash: string;
  readonly deliveries: number;
  /** Whether its `deliver_before` had passed when it was published. */
  readonly expired: boolean;
}

/** Looks up (publisher, key) pairs. Returns one result a pair, in their order; undefined where there is none. */
export async function findIdempotentEvents(
  pool: Pool,
  keys: readonly { readonly publisher: string; readonly key: string }[],
): Promise<(PublishedBefore | undefined)[]> {
  const result = await pool.query<{
    ordinal: number;
    event_id: string;
    request_hash: string;
    deliveries: number;
    expired: boolean;
  }>({
    name: 'find-idempotent-events',
    text: statement,
    values: [textArray(keys.map((key) => key.publisher)), textArray(keys.map((key) => key.key))],
  });
  const found: (PublishedBefore | undefined)[] = keys.map(() => undefined);
  for (const row of result.rows) {
    const { event_id: eventId, request_hash: requestHash, deliveries, expired } = row;
    found[row.ordinal - 1] = { eventId, requestHash, deliveries, expired };
  }
  return found;
}

// A delivery's id starts with its event's ten characters of time, so counting them reads a range of the primary key.
const statement = `
select i.ordinal::integer, k.event_id, k.request_hash,
  (select count(*)::integer from deliveries d
   where d.id >= 'delivery_' || substr(k.event_id, 7, 10) || repeat('0', 16)
     and d.id <= 'delivery_' || substr(k.event_id, 7, 10) || repeat('z', 16)
     and d.event_id = k.event_id) as deliveries,
  coalesce((select e.deliver_before <= e.created_at from events e where e.id = k.event_id), false) as expired
from unnest($1::text[], $2::text[]) with ordinality as i(publisher, key, ordinal)
join idempotency_keys k on k.publisher = i.publisher and k.key = i.key`;
