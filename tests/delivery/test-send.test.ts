// The attempt that somebody waits for.
import { expect, test } from 'vitest';
import type { Target, WebhookDirectory } from '../../src/delivery/webhook-directory.ts';
import { createTestSender, MAX_TEST_MS } from '../../src/delivery/test-send.ts';
import { MAX_CALL_MS } from '../../src/transport/interceptors/deadline.ts';

const delivery = {
  deliveryId: 'delivery_1',
  webhookId: 'webhook_1',
  eventId: 'event_1',
  eventType: 'order.created',
  data: '{}',
  occurredAtMs: 0,
};

test.each([
  ['a minute', 60_000, MAX_TEST_MS],
  ['two seconds', 2000, 2000],
])('with a webhook’s timeout of %s ends before the call that waits for it does', async (_, timeoutMs, expected) => {
  const target: Target = {
    id: 'webhook_1',
    userId: 'alice',
    url: 'https://example.com/hook',
    keys: [],
    customHeaders: {},
    policy: { maxRetries: 3, retryDelayMs: 1000, timeoutMs },
    rateLimit: 0,
    revision: 1,
    isOpen: true,
    fault: null,
  };
  const timeouts: number[] = [];
  const sender = createTestSender({ load: async () => target } as unknown as WebhookDirectory, async ({ policy }) => {
    timeouts.push(policy.timeoutMs);
    const outcome = {
      startedAtMs: 0,
      durationMs: policy.timeoutMs,
      httpStatus: null,
      response: null,
      responseTruncated: false,
      error: 'timeout',
      retryAfterMs: null,
    } as const;
    return { outcome, traceId: '' };
  });
  expect(await sender.send(delivery)).toMatchObject({ error: 'timeout' });
  expect(timeouts).toEqual([expected]);
  // Room for the rows that are read before it and written after it.
  expect(timeouts[0]).toBeLessThanOrEqual(MAX_CALL_MS - 5000);
});
