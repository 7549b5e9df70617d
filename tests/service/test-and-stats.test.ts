// Test deliveries, statistics, and the catalogue they draw on.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { eventTypes } from '../../src/domain/event-types.ts';
import { getDelivery } from '../../src/service/get-delivery.ts';
import { getWebhook } from '../../src/service/get-webhook.ts';
import { getWebhookStats } from '../../src/service/get-webhook-stats.ts';
import { listEventTypes } from '../../src/service/list-event-types.ts';
import { testWebhook } from '../../src/service/test-webhook.ts';
import { addDelivery, alice, type Management, mallory, refusal, someWebhook, startManagement } from './management.ts';

const HOUR_MS = 3_600_000;

let management: Management;
let webhookId: string;
beforeAll(async () => {
  management = await startManagement();
});
afterAll(() => management.close());
beforeEach(async () => {
  await management.database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  management.sent.length = 0;
  webhookId = (await someWebhook(management, alice)).id;
});

test('a test sends the sample of a type of the webhook and is logged as a delivery', async () => {
  const result = await testWebhook(management.context, alice, { webhookId, eventType: '' });
  expect(result).toMatchObject({ success: true, attempt: { number: 1, httpStatus: 200, durationMs: 12, trigger: 'test' } });
  expect(management.sent).toMatchObject([{ webhookId, deliveryId: result.deliveryId, eventType: 'order.created' }]);
  const logged = await getDelivery(management.context, alice, result.deliveryId);
  expect(logged).toMatchObject({ status: 'delivered', attemptCount: 1, attempts: [result.attempt] });
  expect(JSON.parse(logged.body ?? '')).toMatchObject({ event: 'order.created', data: eventTypes[0]?.sample });
});

test('a test keeps what went over its connection, though it succeeded', async () => {
  const outcome = management.outcome;
  const transcript = {
    requestHeaders: 'host: example.com\ncontent-type: application/json',
    responseHeaders: 'server: oven',
    remoteAddress: '192.88.99.1',
    tlsVersion: 'TLSv1.3',
  };
  try {
    management.outcome = { ...outcome!, transcript };
    const { deliveryId, attempt } = await testWebhook(management.context, alice, { webhookId, eventType: '' });
    expect(attempt).toMatchObject({ transcript });
    expect((await getDelivery(management.context, alice, deliveryId)).attempts).toMatchObject([{ number: 1, transcript }]);
  } finally {
    management.outcome = outcome;
  }
});

test('a failed test is logged as failed, with its attempt, and is never due again', async () => {
  const outcome = management.outcome;
  try {
    management.outcome = { ...outcome!, httpStatus: 500, error: 'http_status', response: 'no' };
    const result = await testWebhook(management.context, alice, { webhookId, eventType: 'chef.approved' });
    expect(result).toMatchObject({
      success: false,
      attempt: { errorCode: 'http_status', errorMessage: 'The receiver answered 500.' },
    });
    const logged = await getDelivery(management.context, alice, result.deliveryId);
    expect(logged).toMatchObject({
      status: 'failed',
      eventType: 'chef.approved',
      nextAttemptAtMs: null,
      attempts: [result.attempt],
    });
    expect(await getWebhook(management.context, alice, webhookId)).toMatchObject({ consecutiveFailures: 0 });
  } finally {
    management.outcome = outcome;
  }
});

test('a test of an unknown type, a foreign webhook or a closed one sends and logs nothing', async () => {
  const { context } = management;
  expect(await refusal(testWebhook(context, alice, { webhookId, eventType: 'nope' }))).toMatchObject({
    reason: 'event_type_unknown',
    fields: ['event_type'],
  });
  expect(await refusal(testWebhook(context, mallory, { webhookId, eventType: '' }))).toMatchObject({ code: 'not_found' });
  expect(management.sent).toEqual([]);
  const outcome = management.outcome;
  management.outcome = null;
  expect(await refusal(testWebhook(context, alice, { webhookId, eventType: '' }))).toMatchObject({
    reason: 'webhook_inactive',
  });
  management.outcome = outcome;
  expect((await management.database.pool.query('select 1 from deliveries')).rowCount).toBe(0);
});

test('statistics count what falls into the time, rank durations, and leave no hole between buckets', async () => {
  const untilMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const sinceMs = untilMs - 24 * HOUR_MS;
  const at = (hours: number) => sinceMs + hours * HOUR_MS;
  for (let i = 1; i <= 98; i += 1) {
    await addDelivery(management, { webhookId, status: 'delivered', durationMs: i, madeAtMs: at(1) + i });
  }
  await addDelivery(management, { webhookId, status: 'failed', durationMs: 99, madeAtMs: at(0) });
  await addDelivery(management, { webhookId, status: 'retrying', durationMs: 100, madeAtMs: at(24) - 1 });
  await addDelivery(management, { webhookId, status: 'cancelled', madeAtMs: at(12) });
  await addDelivery(management, { webhookId, status: 'failed', madeAtMs: at(0) - 1 });
  await addDelivery(management, { webhookId, status: 'failed', madeAtMs: at(24) });
  const stats = await getWebhookStats(management.context, alice, { webhookId, sinceMs, untilMs });
  expect(stats).toMatchObject({
    counts: { total: 101, pending: 0, retrying: 1, delivered: 98, failed: 1, cancelled: 1 },
    successRate: 98 / 99,
    latency: { p50: 50, p95: 95, p99: 99 },
    bucketSeconds: 900,
  });
  expect(stats.buckets.map(({ startMs }) => startMs)).toEqual(Array.from({ length: 96 }, (_, i) => sinceMs + i * 900_000));
  expect(
    stats.buckets
      .filter(({ counts }) => counts.total > 0)
      .map(({ startMs, counts }) => [(startMs - sinceMs) / HOUR_MS, counts.total]),
  ).toEqual([
    [0, 1],
    [1, 98],
    [12, 1],
    [23.75, 1],
  ]);
});

test('statistics of nothing say so, and cover the last day by default', async () => {
  const stats = await getWebhookStats(management.context, alice, { webhookId, sinceMs: null, untilMs: null });
  expect(stats).toMatchObject({ successRate: null, latency: null, counts: { total: 0 } });
  expect(stats.untilMs - stats.sinceMs).toBe(24 * HOUR_MS);
});

test('buckets stay at most a hundred or so for any time up to 30 days, and what is longer than statistics are kept is refused', async () => {
  const untilMs = Date.now();
  const width = async (hours: number) => {
    const { buckets, bucketSeconds } = await getWebhookStats(management.context, alice, {
      webhookId,
      sinceMs: untilMs - hours * HOUR_MS,
      untilMs,
    });
    expect(buckets.length).toBeLessThanOrEqual(101);
    return bucketSeconds;
  };
  expect([await width(1), await width(24), await width(7 * 24), await width(30 * 24)]).toEqual([60, 900, 10_800, 43_200]);
  const ask = (sinceMs: number, until: number) =>
    refusal(getWebhookStats(management.context, alice, { webhookId, sinceMs, untilMs: until }));
  expect(await ask(untilMs - 401 * 24 * HOUR_MS, untilMs)).toMatchObject({ reason: 'time_range_invalid', fields: ['since'] });
  expect(await ask(untilMs, untilMs)).toMatchObject({ reason: 'time_range_invalid', fields: ['until'] });
  expect(
    await refusal(getWebhookStats(management.context, mallory, { webhookId, sinceMs: null, untilMs: null })),
  ).toMatchObject({ code: 'not_found' });
});

test('the catalogue holds the eight documented types, and every sample has what its schema requires', () => {
  const catalogue = listEventTypes(management.context);
  expect(catalogue.map(({ name, description, sample, schema }) => ({ name, description, sample, schema }))).toEqual(
    eventTypes.map(({ name, description, sample, schema }) => ({ name, description, sample, schema })),
  );
  expect(catalogue.map(({ name }) => name)).toEqual(
    'order.created order.completed order.cancelled payment.success payment.failed tip.received chef.approved delivery.assigned'.split(
      ' ',
    ),
  );
  for (const { description, sample, schema } of eventTypes) {
    expect(description).toMatch(/\.$/);
    expect(schema).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object' });
    expect(Object.keys(sample)).toEqual(expect.arrayContaining(schema['required'] as string[]));
    expect(Object.keys(schema['properties'] as object)).toEqual(expect.arrayContaining(Object.keys(sample)));
  }
});
