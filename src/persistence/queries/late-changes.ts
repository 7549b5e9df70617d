// Late changes: a statement that changes a delivery that is counted, or about to be, writes down what it was and what it is.
import { causeOf } from './sum-columns.ts';

/** Below this id of deliveries each change is written down. Read by the statement itself: its snapshot decides (see sum-log.ts). */
export const closingBelow = '(select closing_below from summing)';

/** What a change replaces, as JSON: delivery `d` before the statement. */
export const wasOf = (d: string): string => `jsonb_build_array(${d}.status, ${d}.duration_ms, ${causeOf(d)})`;

const into = `insert into late_changes
    (delivery_id, webhook_id, user_id, event_type, old_status, old_duration_ms, old_cause, status, duration_ms, cause)`;

/**
 * Writes down how rows changed.
 * @param is the row as it is now
 * @param was what `wasOf` made of it before
 * @param from a `from` clause with both, of the rows below `closingBelow` alone
 */
export const noteChanges = (is: string, was: string, from: string): string => `${into}
  select ${is}.id, ${is}.webhook_id, ${is}.user_id, ${is}.event_type, ${was} ->> 0, (${was} ->> 1)::integer, ${was} ->> 2,
    ${is}.status, ${is}.duration_ms, ${causeOf(is)}
  ${from}`;

/** Writes down rows that were inserted, as pending unless it is said: an event whose id is older than what is being counted. */
export const noteInserts = (from: string, status = `'pending'`): string => `${into}
  select id, webhook_id, user_id, event_type, null, null, null, ${status}, null, null ${from} where id < ${closingBelow}`;

/** Writes down one delivery that was inserted as it is; for a statement of MikroORM's. */
export const noteInsert = noteChanges('d', 'null::jsonb', `from deliveries d where d.id = ? and d.id < ${closingBelow}`);
