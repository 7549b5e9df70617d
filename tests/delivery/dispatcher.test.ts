// What the dispatcher does with deliveries that it cannot try.
import { expect, test } from 'vitest';
import { Dispatcher, type DispatcherOptions } from '../../src/delivery/dispatcher.ts';
import type { Settlement } from '../../src/schedule/scheduler.ts';
import { createTelemetry } from '../../src/telemetry/telemetry.ts';
import { toConfig } from '../../src/config.ts';
import { eventually } from '../fixtures/eventually.ts';

const WAITING = 20_000;
const WEBHOOKS = 400;

const event = {
  id: 'event_1',
  eventType: 'order.created',
  data: '{}',
  schemaVersion: null,
  orderingKey: null,
  collapseKey: null,
  chain: null,
  deliverBeforeMs: null,
  occurredAtMs: 0,
  publisher: 'orders',
  userIds: ['alice'],
  broadcast: false,
  traceparent: null,
  idempotencyKey: null,
  requestHash: null,
};

/** What these tests look at is given; the rest is as in a service with nothing to do. */
function dispatcherWith(parts: object): Dispatcher {
  return new Dispatcher({
    recorder: { isStalled: false, record: () => undefined, idle: async () => undefined },
    maxConcurrency: 512,
    endpointConcurrency: 16,
    leaseMs: 45_000,
    maxTimeoutMs: 10_000,
    now: () => Date.now(),
    shutdownGraceMs: 0,
    abort: () => undefined,
    telemetry: createTelemetry(toConfig({ ENVIRONMENT: 'test', LOG_LEVEL: 'silent' })),
    ...parts,
  } as unknown as DispatcherOptions);
}

test('however many leases run out while they wait, they are ended a few hundred at a time', async () => {
  const released: (readonly Settlement[])[] = [];
  const target = {
    id: '',
    userId: 'alice',
    isDeliverable: true,
    isPaused: false,
    rateLimit: 0,
    policy: { maxRetries: 1, retryDelayMs: 1, timeoutMs: 10_000 },
  };
  const dispatcher = dispatcherWith({
    pool: {},
    scheduler: {
      onWake: () => undefined,
      claim: async () => ({ leased: [], nextDueInMs: null, isLimited: false }),
      enqueue: async () => 0,
      release: async (settlements: readonly Settlement[]) => void released.push(settlements),
    },
    directory: { peek: () => target, load: async () => target },
    send: () => Promise.reject(new Error('nothing may be sent under a lease that is over')),
    rateLimitWaitMs: () => 0,
  });
  await dispatcher.start();
  const deliveries = Array.from({ length: WAITING }, (_, n) => ({
    deliveryId: `delivery_${n}`,
    webhookId: `webhook_${n % WEBHOOKS}`,
    userId: 'alice',
    revision: 1,
    isLeased: true,
    isHeld: false,
    endedAs: null,
    ordering: null,
  }));
  await dispatcher.accept({
    events: [{ event, deliveries }],
    superseded: [],
    createdAtMs: 0,
    lease: { untilMs: 0, expiresAt: performance.now() + 5000 },
  });
  await eventually(() => released.flat().length === WAITING);
  expect(new Set(released.flat().map(({ deliveryId }) => deliveryId)).size).toBe(WAITING);
  expect(released.length).toBeLessThanOrEqual(WAITING / 500);
  await dispatcher.drain();
});

test('after the database was away, others first record what they have sent, and only then is anything claimed', async () => {
  const asked: ('claim' | 'away' | 'back')[] = [];
  let isAway = true;
  let backAt = 0;
  let claimedAt = 0;
  let wake = (): void => undefined;
  const dispatcher = dispatcherWith({
    pool: {
      query: async () => {
        asked.push(isAway ? 'away' : 'back');
        backAt = performance.now();
        if (isAway) throw new Error('the database is away');
        return { rows: [] };
      },
    },
    scheduler: {
      onWake: (callback: () => void) => (wake = callback),
      claim: async () => {
        claimedAt = performance.now();
        asked.push('claim');
        if (isAway) throw new Error('the database is away');
        return { leased: [], nextDueInMs: null, isLimited: false };
      },
      enqueue: async () => 0,
      release: async () => undefined,
    },
    directory: {},
  });
  const waking = setInterval(() => wake(), 5);
  await dispatcher.start();
  await eventually(() => asked.length >= 3);
  isAway = false;
  await eventually(() => asked.at(-1) === 'claim' && asked.length > 3);
  clearInterval(waking);
  expect(asked.slice(0, 3)).toEqual(['claim', 'away', 'away']);
  expect(asked.filter((what) => what === 'back')).toHaveLength(1);
  // Twice as long as the recorder waits between two writes.
  expect(claimedAt - backAt).toBeGreaterThan(490);
  await dispatcher.drain();
});

test('what a rate limit keeps waiting stays with its lease, and is sent once the limit allows', async () => {
  const released: Settlement[] = [];
  const sent: string[] = [];
  const target = {
    id: 'webhook_1',
    userId: 'alice',
    isDeliverable: true,
    isPaused: false,
    rateLimit: 5,
    policy: { maxRetries: 1, retryDelayMs: 1, timeoutMs: 10_000 },
  };
  let windowEndsAt = 0;
  let left = 0;
  const dispatcher = dispatcherWith({
    pool: {},
    scheduler: {
      onWake: () => undefined,
      claim: async () => ({ leased: [], nextDueInMs: null, isLimited: false }),
      enqueue: async () => 0,
      release: async (settlements: readonly Settlement[]) => void released.push(...settlements),
    },
    directory: { peek: () => target, load: async () => target },
    send: async (_target: unknown, { deliveryId }: { deliveryId: string }) => {
      sent.push(deliveryId);
      return { outcome: { error: null, durationMs: 1, httpStatus: 200 }, traceId: '' };
    },
    // Two requests each window.
    rateLimitWaitMs: async () => {
      const now = performance.now();
      if (now >= windowEndsAt) [windowEndsAt, left] = [now + 50, 2];
      left -= 1;
      return left >= 0 ? 0 : windowEndsAt - now;
    },
  });
  await dispatcher.start();
  const deliveries = Array.from({ length: 6 }, (_, n) => ({
    deliveryId: `delivery_${n}`,
    webhookId: 'webhook_1',
    userId: 'alice',
    revision: 1,
    isLeased: true,
    isHeld: false,
    endedAs: null,
    ordering: null,
  }));
  const lease = { untilMs: 0, expiresAt: performance.now() + 45_000 };
  await dispatcher.accept({ events: [{ event, deliveries }], superseded: [], createdAtMs: 0, lease });
  await eventually(() => sent.length === 6);
  await dispatcher.drain();
  expect(new Set(sent).size).toBe(6);
  expect(released).toEqual([]);
});
