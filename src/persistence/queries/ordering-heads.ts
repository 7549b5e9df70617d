// Heads of ordering keys: one row for each webhook and key. Its lock is the order, and it names the delivery that has the turn.
import type { Pool } from 'pg';
import { chainOf } from '../../domain/chain.ts';
import { plainArray, textArray } from '../array-parameter.ts';
import { isScheduled } from '../delivery-state.ts';
import type { DeliveryRow } from './delivery-row.ts';

/** Heads deleted by one statement, so that no statement holds its locks for long. */
export const MAX_EXPIRED_HEADS = 5000;

export interface Chain {
  readonly webhookId: string;
  /** Of the head: domain/chain.ts. */
  readonly orderingKey: string;
}

/** A delivery of a chain. */
export interface Chained extends Chain {
  readonly deliveryId: string;
}

/** One that had ended when it was claimed, and the lease of that claim: of one in its row the end, in milliseconds. */
export interface ClaimedEnded extends Chained {
  readonly token: number;
}

/** The chains of those deliveries that are in one. */
export function chainsOf(
  deliveries: readonly Pick<DeliveryRow, 'webhookId' | 'eventType' | 'orderingKey' | 'collapseKey'>[],
): Chain[] {
  return deliveries.flatMap(({ webhookId, eventType, orderingKey = null, collapseKey = null }) => {
    const chain = chainOf({ eventType, orderingKey, collapseKey });
    return chain === null ? [] : [{ webhookId, orderingKey: chain }];
  });
}

/**
 * A select that locks the heads of the deliveries that a statement may end. The trigger `deliveries_pass_turn` locks a head too, but one after the other as
 * the rows come. Statements lock heads before deliveries, and in the order of their keys, as a publish does; so no two wait for each other.
 * The function has a plan of its own: in PostgreSQL 18.0 to 18.5 a statement that waits for a row lock and prunes partitions afterwards can end the server.
 * @param chains a relation of (webhook_id, ordering_key), repeated or not; none locks nothing
 */
export const lockHeads = (chains: string): string =>
  `select lock_heads(array_agg(webhook_id), array_agg(ordering_key)) from (${chains}) c having count(*) > 0`;

/**
 * Now, or, for a delivery `d` that has the turn after one that was cancelled under way, when the request of that one has ended. For whatever
 * makes a delivery due that was not.
 */
export const dueNow = (d: string): string => `case when ${d}.ordering_key is null then now() else greatest(now(), (
      select h.clear_at from ordering_heads h
      where h.webhook_id = ${d}.webhook_id and h.ordering_key = ${d}.ordering_key and h.turn_id = ${d}.id)) end`;

export interface Turn {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly dueAtMs: number;
}

/**
 * Which delivery of each chain has the turn, as far as it is scheduled. And which one it waits for, where Redis may have a lease of that: put there as due, it
 * is claimed and found ended, which shows that no request of it is under way.
 */
export async function listTurns(pool: Pool, chains: readonly Chain[]): Promise<Turn[]> {
  const { rows } = await pool.query<Turn>({
    name: 'list-turns',
    text: `select d.id as "deliveryId", d.webhook_id as "webhookId", ceil(extract(epoch from d.next_attempt_at) * 1000)::float8 as "dueAtMs"
      from (select distinct * from unnest($1::text[], $2::text[]) as c(webhook_id, ordering_key)) c
      join ordering_heads h on h.webhook_id = c.webhook_id and h.ordering_key = c.ordering_key
      join deliveries d on d.id = h.turn_id
      where ${isScheduled}
      union all
      select h.clear_id, h.webhook_id, floor(extract(epoch from now()) * 1000)::float8
      from (select distinct * from unnest($1::text[], $2::text[]) as c(webhook_id, ordering_key)) c
      join ordering_heads h on h.webhook_id = c.webhook_id and h.ordering_key = c.ordering_key
      where h.clear_id is not null and h.clear_lease is null and h.clear_at > now()`,
    values: [textArray(chains.map(({ webhookId }) => webhookId)), textArray(chains.map(({ orderingKey }) => orderingKey))],
  });
  return rows;
}

/**
 * Lets the next of each chain go, where it waits for the request of one of these deliveries: they were cancelled, and the caller has claimed them,
 * so no request of theirs is under way but under another lease.
 */
export async function clearFlights(pool: Pool, ended: readonly ClaimedEnded[]): Promise<void> {
  await pool.query({
    name: 'clear-flights',
    text: `select clear_flight(id, webhook_id, ordering_key, lease_ms)
      from (select * from unnest($1::text[], $2::text[], $3::text[], $4::float8[]) as e(id, webhook_id, ordering_key, lease_ms)
        order by webhook_id collate "C", ordering_key collate "C") e`,
    values: [
      textArray(ended.map(({ deliveryId }) => deliveryId)),
      textArray(ended.map(({ webhookId }) => webhookId)),
      textArray(ended.map(({ orderingKey }) => orderingKey)),
      plainArray(ended.map(({ token }) => token)),
    ],
  });
}

/**
 * Whether nothing newer with the collapse key of delivery `d` was published; of one without such a key, yes. For the conditions of what sends deliveries again,
 * behind the lock of its chain (lockHeads): it sees what was committed before that.
 */
export const isNewest = (d: string): string =>
  `(${d}.collapse_key is null or is_newest(${d}.id, ${d}.webhook_id, ${d}.ordering_key, ${d}.event_type, ${d}.collapse_key))`;

/** Deletes heads of keys that were silent for so long. A key that comes back begins at 1 again. Answers how many. */
export async function expireHeads(pool: Pool, silentDays: number): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from ordering_heads where ctid = any (array(
       select ctid from ordering_heads where turn_id is null and touched_at < now() - make_interval(days => $1) limit $2 for update skip locked))`,
    [silentDays, MAX_EXPIRED_HEADS],
  );
  return rowCount ?? 0;
}

/** The same of collapse keys. */
export async function expireCollapseHeads(pool: Pool, silentDays: number): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from collapse_heads where ctid = any (array(
       select ctid from collapse_heads where touched_at < now() - make_interval(days => $1) limit $2 for update skip locked))`,
    [silentDays, MAX_EXPIRED_HEADS],
  );
  return rowCount ?? 0;
}
