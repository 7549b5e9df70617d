// The request that asks a receiver whether it is there, exactly like a delivery: no event of the catalogue, so no webhook is subscribed to it.
import { newId } from '../domain/ids.ts';
import type { AttemptParts } from './attempt.ts';

/** What a ping says it is. */
const PING_EVENT = 'webhook.ping';

export function pingParts(webhookId: string, nowMs: number): AttemptParts {
  return {
    webhookId,
    deliveryId: newId('delivery', nowMs),
    eventType: PING_EVENT,
    data: '{}',
    schemaVersion: null,
    occurredAtMs: nowMs,
    traceparent: null,
  };
}
