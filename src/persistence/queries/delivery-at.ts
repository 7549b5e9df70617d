// Whether a range of the log is longer than a report may read, and where a page of it ends.
import type { PoolClient } from 'pg';
import { Parameters, rangeOf, where } from './delivery-filter.ts';

export interface DeliveryRange {
  readonly fromId: string;
  /** The first id behind the range; null: the log's end. */
  readonly belowId: string | null;
  /** Null: of all webhooks. */
  readonly webhookId: string | null;
}

/** The id that has `offset` others of its range before it; null when the range has no more than `offset`. */
export async function deliveryAt(client: PoolClient, range: DeliveryRange, offset: number): Promise<string | null> {
  const values = new Parameters();
  const conditions = rangeOf(range, values);
  if (range.webhookId !== null) conditions.push(`d.webhook_id = ${values.add(range.webhookId)}`);
  // A name of its own for each text, so that each is planned once a session.
  const { rows } = await client.query<{ id: string }>({
    name: `delivery-at-${conditions.length}-${range.webhookId === null ? 'of-all' : 'of-webhook'}`,
    text: `select d.id from deliveries d ${where(conditions)} order by d.id offset ${values.add(offset)}::integer limit 1`,
    values: values.all,
  });
  return rows[0]?.id ?? null;
}

export async function hasMoreThan(client: PoolClient, range: DeliveryRange, max: number): Promise<boolean> {
  return (await deliveryAt(client, range, max)) !== null;
}
