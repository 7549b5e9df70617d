// What the publish and the settle statement are given, for tests that call them: each row differs from the usual in what it says.
import type { Pool } from 'pg';
import { chainOf } from '../../src/domain/chain.ts';
import { newId } from '../../src/domain/ids.ts';
import type { EventRow } from '../../src/persistence/queries/insert-events.ts';
import type { OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';

export function eventRow(differing: Partial<EventRow> = {}): EventRow {
  return {
    id: newId('event', Date.now()),
    eventType: 'order.created',
    data: '{}',
    schemaVersion: null,
    occurredAtMs: Date.now(),
    publisher: 'test',
    userIds: ['user_1'],
    broadcast: false,
    traceparent: null,
    idempotencyKey: null,
    requestHash: null,
    orderingKey: null,
    collapseKey: null,
    chain: chainOf({ eventType: 'order.created', orderingKey: null, collapseKey: null, ...differing }),
    deliverBeforeMs: null,
    ...differing,
  };
}

/** A first try that succeeded. */
export function outcomeRow(deliveryId: string, differing: Partial<OutcomeRow> = {}): OutcomeRow {
  return {
    deliveryId,
    webhookId: 'webhook_1',
    orderingKey: null,
    attemptCount: 0,
    leaseExpirations: 0,
    trigger: 'automatic',
    status: 'delivered',
    usesRetry: false,
    delayMs: null,
    startedAtMs: Date.now(),
    durationMs: 1,
    httpStatus: 200,
    response: 'ok',
    responseTruncated: false,
    responseOddity: null,
    errorCode: null,
    errorMessage: null,
    transcript: null,
    ...differing,
  };
}

/** A webhook for `order.created`. */
export async function insertWebhook(
  pool: Pool,
  id: string,
  { userId = 'user_1', ordering = 'none' }: { readonly userId?: string; readonly ordering?: 'none' | 'key' } = {},
): Promise<void> {
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, ordering)
     values ($1, $2, 'https://example.com/', '["order.created"]', 's', 'h', $3)`,
    [id, userId, ordering],
  );
}
