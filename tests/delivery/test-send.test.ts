// The attempt that a caller waits for.
import { describe, expect, test } from 'vitest';
import type { Target, WebhookDirectory } from '../../src/delivery/webhook-directory.ts';
import { MAX_TESTS } from '../../src/delivery/test-budget.ts';
import { createTestSender, MAX_TEST_MS } from '../../src/delivery/test-send.ts';
import type { Outcome } from '../../src/domain/delivery.ts';
import { MAX_CALL_MS } from '../../src/transport/call/interceptors/deadline.ts';

const delivery = {
  deliveryId: 'delivery_1',
  webhookId: 'webhook_1',
  eventId: 'event_1',
  eventType: 'order.created',
  data: '{}',
  schemaVersion: null,
  occurredAtMs: 0,
};

test.each([
  ['a minute', 60_000, MAX_TEST_MS],
  ['two seconds', 2000, 2000],
])('with a webhook’s timeout of %s ends before the call that waits for it does', async (_, timeoutMs, expected) => {
  const target = targetOf(timeoutMs);
  const timeouts: number[] = [];
  const sender = createTestSender({ load: async () => target } as unknown as WebhookDirectory, async ({ policy }) => {
    timeouts.push(policy.timeoutMs);
    return { outcome: outcomeOf(policy.timeoutMs), traceId: '' };
  });
  expect(await sender.send(delivery)).toMatchObject({ error: 'timeout' });
  expect(timeouts).toEqual([expected]);
  // Room for the rows that are read before it and written after it.
  expect(timeouts[0]).toBeLessThanOrEqual(MAX_CALL_MS - 5000);
});

describe('while tests hang', () => {
  const never = new Promise<never>(() => undefined);

  function hangingSender() {
    const started: string[] = [];
    const directory = {
      load: async (id: string) => ({ ...targetOf(60_000), id, userId: id.split('-')[0] }),
    } as unknown as WebhookDirectory;
    const sender = createTestSender(directory, ({ id }) => {
      started.push(id);
      return never;
    });
    const tryAll = async (ids: readonly string[]): Promise<void> => {
      for (const webhookId of ids) sender.send({ ...delivery, webhookId }).catch(() => undefined);
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { sender, started, tryAll };
  }

  test('a webhook has two in flight, and its user eight', async () => {
    const { sender, started, tryAll } = hangingSender();
    await tryAll(Array.from({ length: 10 }, () => 'alice-0'));
    expect(started).toHaveLength(2);
    await expect(sender.send({ ...delivery, webhookId: 'alice-0' })).rejects.toMatchObject({
      code: 'resource_exhausted',
      reason: 'test_limit_reached',
      retryAfterMs: 1000,
    });
    await tryAll(Array.from({ length: 100 }, (_, n) => `alice-${n}`));
    expect(started).toHaveLength(8);
    await tryAll(['bob-0']);
    expect(started).toHaveLength(9);
  });

  test('a process has no more in flight than leave the pool to deliveries', async () => {
    const { started, tryAll } = hangingSender();
    await tryAll(Array.from({ length: 1100 }, (_, n) => `user${n}-0`));
    expect(started).toHaveLength(MAX_TESTS);
  });
});

test('a test that has ended, well or badly, makes room for the next', async () => {
  let sent = 0;
  const sender = createTestSender({ load: async () => targetOf(2000) } as unknown as WebhookDirectory, async () => {
    sent += 1;
    if (sent % 2 === 0) throw new Error('not even an outcome');
    return { outcome: outcomeOf(1), traceId: '' };
  });
  for (let n = 0; n < 50; n += 1) await sender.send(delivery).catch(() => undefined);
  expect(sent).toBe(50);
});

function targetOf(timeoutMs: number): Target {
  return {
    id: 'webhook_1',
    userId: 'alice',
    url: 'https://example.com/hook',
    keys: [],
    customHeaders: {},
    policy: { maxRetries: 3, retryDelayMs: 1000, timeoutMs },
    rateLimit: 0,
    revision: 1,
    isDeliverable: true,
    isPaused: false,
    fault: null,
    lacksKey: false,
  };
}

function outcomeOf(durationMs: number): Outcome {
  return {
    startedAtMs: 0,
    durationMs,
    httpStatus: null,
    response: null,
    responseTruncated: false,
    responseOddity: null,
    error: 'timeout',
    retryAfterMs: null,
    transcript: null,
  };
}
