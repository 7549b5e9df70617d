// Rows of deliveries for tests of the schedule, without the events and webhooks that it never looks at.
import type { Pool } from 'pg';
import { newId } from '../../src/domain/ids.ts';
import type { Scheduled } from '../../src/schedule/scheduler.ts';

export const newWebhookId = (): string => newId('webhook', Date.now());
export const newDeliveryId = (): string => newId('delivery', Date.now());

export function newDue(webhookId: string, dueAtMs: number): Scheduled {
  return { deliveryId: newDeliveryId(), webhookId, dueAtMs };
}

export async function insertRows(pool: Pool, items: readonly Scheduled[]): Promise<void> {
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at)
     select id, 'event_' || right(id, 26), webhook_id, 'user', 'order.created', to_timestamp(due_ms / 1000.0)
     from unnest($1::text[], $2::text[], $3::float8[]) as r(id, webhook_id, due_ms)
     on conflict (id) do update set next_attempt_at = least(deliveries.next_attempt_at, excluded.next_attempt_at)`,
    [items.map((item) => item.deliveryId), items.map((item) => item.webhookId), items.map((item) => item.dueAtMs)],
  );
}

/** Rows made by the server itself, for many: `count` of one webhook, due `dueInMs` from now. */
export async function generateRows(pool: Pool, webhookId: string, count: number, dueInMs: number): Promise<void> {
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at)
     select 'delivery_' || left(right(id_floor('delivery', now()), 26), 10) || left(md5(n::text || $1), 16),
       'event_' || n, $1, 'user', 'order.created', now() + $3::float8 * interval '1 millisecond'
     from generate_series(1, $2::integer) n`,
    [webhookId, count, dueInMs],
  );
}
