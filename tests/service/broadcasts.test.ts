// Broadcasts are written apart from other events, and no more of them wait than are written in time.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Pool } from 'pg';
import { toConfig } from '../../src/config.ts';
import { newId } from '../../src/domain/ids.ts';
import type { EventRow } from '../../src/persistence/queries/insert-events.ts';
import { BroadcastWeight } from '../../src/service/broadcast-weight.ts';
import { MAX_BROADCAST_WEBHOOKS, Publisher } from '../../src/service/publisher.ts';
import { createTelemetry } from '../../src/telemetry/telemetry.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const telemetry = createTelemetry(toConfig({ ENVIRONMENT: 'test', LOG_LEVEL: 'silent' }));
/** Each counts for a second, and its payload comes on top. */
const BROADCASTS_BEFORE_THE_FIRST = 4;
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(() => database.pool.query('truncate webhook_endpoints, deliveries, events, idempotency_keys'));

const publisherOn = (pool: Pool): Publisher =>
  new Publisher({ pool, telemetry, insertLeaseFor: () => null, onCommitted: () => undefined });

const eventOf = (own: Partial<EventRow>): EventRow => ({
  id: newId('event', Date.now()),
  eventType: 'order.created',
  data: '{}',
  schemaVersion: null,
  orderingKey: null,
  collapseKey: null,
  chain: null,
  deliverBeforeMs: null,
  occurredAtMs: Date.now(),
  publisher: 'orders',
  userIds: [],
  broadcast: false,
  traceparent: null,
  idempotencyKey: null,
  requestHash: null,
  ...own,
});

async function subscribe(count: number): Promise<void> {
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || n, 'user_' || n, 'https://example.com/', '["order.created"]', 's', 'h' from generate_series(1, $1) n`,
    [count],
  );
}

async function countOf(table: string): Promise<number> {
  const { rows } = await database.pool.query<{ n: number }>(`select count(*)::integer as n from ${table}`);
  return rows[0]?.n ?? -1;
}

/** Keeps every publisher with this key waiting, until the returned function is called. */
async function holdKey(key: string): Promise<() => Promise<void>> {
  const client = await database.pool.connect();
  await client.query('begin');
  await client.query(
    `insert into idempotency_keys (publisher, key, request_hash, event_id, expires_at) values ('orders', $1, 'h', 'e', now() + interval '1 day')`,
    [key],
  );
  return async () => {
    await client.query('rollback');
    client.release();
  };
}

test('a broadcast that waits for the database delays no other event, and what is beyond the queue is refused at once', async () => {
  await subscribe(3);
  const publisher = publisherOn(database.pool);
  const release = await holdKey('first');
  const refused: unknown[] = [];
  const broadcasts = Array.from({ length: 40 }, (_, n) =>
    publisher
      .publish(eventOf({ broadcast: true, ...(n === 0 ? { idempotencyKey: 'first', requestHash: 'h' } : {}) }))
      .catch((error: unknown) => {
        refused.push(error);
        return null;
      }),
  );
  await eventually(() => refused.length === 40 - BROADCASTS_BEFORE_THE_FIRST);
  for (const error of refused)
    expect(error).toMatchObject({ code: 'resource_exhausted', reason: 'overloaded', retryAfterMs: 1000 });
  expect(await publisher.publish(eventOf({ userIds: ['user_1'] }))).toMatchObject({ deliveries: 1 });
  await release();
  const published = (await Promise.all(broadcasts)).filter((result) => result !== null);
  expect(published.map(({ deliveries }) => deliveries)).toEqual(published.map(() => 3));
  expect(await countOf('events')).toBe(published.length + 1);
});

test('a broadcast that matches more webhooks than one event may is refused, and nothing of it is written', async () => {
  await subscribe(MAX_BROADCAST_WEBHOOKS + 1);
  const publisher = publisherOn(database.pool);
  const [tooLarge, other] = await Promise.allSettled([
    publisher.publish(eventOf({ broadcast: true, idempotencyKey: 'large', requestHash: 'h' })),
    publisher.publish(eventOf({ broadcast: true, eventType: 'order.cancelled' })),
  ]);
  expect(tooLarge).toMatchObject({ reason: { code: 'failed_precondition', reason: 'broadcast_too_large' } });
  expect(other).toMatchObject({ value: { deliveries: 0 } });
  expect([await countOf('events'), await countOf('deliveries'), await countOf('idempotency_keys')]).toEqual([1, 0, 0]);
});

test('a broadcast counts for the time that the last ones took: more at once, less by and by', () => {
  const weight = new BroadcastWeight(5_000_000);
  expect(weight.bytes).toBe(1_000_000);
  for (let n = 0; n < 100; n += 1) weight.learn(2, 20);
  expect(weight.bytes).toBe(10_000);
  weight.learn(1, 800);
  expect(weight.bytes).toBe(800_000);
  weight.learn(1, 10);
  expect(weight.bytes).toBeCloseTo(720_000);
});
