// Tasks for tests of what waits in a process: deliveries that are never sent, so most of what they say does not matter.
import type { Task } from '../../src/delivery/task.ts';

export function taskOf(webhookId: string, number: number, own: Partial<Task> = {}): Task {
  const deliveryId = `delivery_${number}`;
  return {
    lease: { deliveryId, webhookId, leasedIn: 'row', token: 1, expirations: 0, expiresAt: 0 },
    deliveryId,
    webhookId,
    revision: 1,
    eventId: 'event_1',
    eventType: 'order.created',
    data: '{}',
    schemaVersion: null,
    ordering: null,
    chain: null,
    collapseKey: null,
    deliverBeforeMs: null,
    occurredAtMs: 0,
    traceparent: null,
    createdAtMs: 0,
    attemptCount: 0,
    retriesUsed: 0,
    isInserted: true,
    trigger: 'automatic',
    ...own,
  };
}
