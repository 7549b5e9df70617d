// The statement that puts off what waits for a webhook whose receiver is away.
import type { Pool, PoolClient } from 'pg';
import { plainArray, textArray } from '../array-parameter.ts';
import { isScheduled } from '../delivery-state.ts';

/**
 * Rows of one webhook in one statement, some 15 ms of work. A longer backlog stays due: the claim passes it as it passes the backlog of any
 * webhook without free places, in a step a day.
 */
export const MAX_PUT_OFF = 500;
/** Rows of all webhooks in one statement. What is left over is put off with the next probe that fails. */
const MAX_ROWS = 5000;

export interface PutOff {
  readonly webhookId: string;
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly untilMs: number;
}

/** Puts off what is due earlier and is not leased. Rows that other sessions are writing are passed over. Returns how many it has put off. */
export async function putOff(client: Pool | PoolClient, webhooks: readonly PutOff[]): Promise<number> {
  const { rowCount } = await client.query({
    name: 'put-off',
    text: statement,
    values: [
      textArray(webhooks.map(({ webhookId }) => webhookId)),
      plainArray(webhooks.map(({ untilMs }) => untilMs)),
      MAX_PUT_OFF,
      MAX_ROWS,
    ],
  });
  return rowCount ?? 0;
}

// Along deliveries_due, each webhook by itself, and then each row by its id, which prunes to its partition.
const statement = `
with waiting as materialized (
  select picked.id, away.until from (
    select webhook_id, to_timestamp(until_ms / 1000.0) as until from unnest($1::text[], $2::float8[]) as a(webhook_id, until_ms)
  ) away
  cross join lateral (
    select d.id from deliveries d
    where d.webhook_id = away.webhook_id and ${isScheduled} and d.next_attempt_at < away.until
      and (d.leased_until is null or d.leased_until <= now())
    order by d.next_attempt_at
    limit $3
    for no key update skip locked
  ) picked
  limit $4
)
update deliveries d set next_attempt_at = waiting.until
from waiting where d.id = waiting.id`;
