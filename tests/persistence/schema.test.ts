// The tables as the documentation promises them, and the view that keeps that promise.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { createOrm, type Orm } from '../../src/persistence/orm.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const webhookEndpoints = {
  id: 'character varying(255)',
  user_id: 'character varying(255)',
  url: 'text',
  events: 'text',
  secret: 'character varying(255)',
  description: 'text',
  is_active: 'boolean',
  retry_policy: 'jsonb',
  created_at: 'timestamp without time zone',
  updated_at: 'timestamp without time zone',
};

const webhookDeliveries = {
  id: 'character varying(255)',
  webhook_id: 'character varying(255)',
  event_type: 'character varying(100)',
  payload: 'jsonb',
  status: 'character varying(50)',
  http_status: 'integer',
  response: 'text',
  attempt_count: 'integer',
  next_retry_at: 'timestamp without time zone',
  delivered_at: 'timestamp without time zone',
  failed_at: 'timestamp without time zone',
  error_message: 'text',
  created_at: 'timestamp without time zone',
  updated_at: 'timestamp without time zone',
};

let database: TestDatabase;
let orm: Orm;
beforeAll(async () => {
  database = await createTestDatabase();
  orm = await createOrm(database.config, () => {});
});
afterAll(async () => {
  await orm.close(true);
  await database.drop();
});

test('webhook_endpoints has the documented columns, in their types', async () => {
  expect(await columnsOf('webhook_endpoints')).toMatchObject(webhookEndpoints);
});

test('webhook_deliveries has exactly the documented columns, in their types and order', async () => {
  const columns = await columnsOf('webhook_deliveries');
  expect(columns).toEqual(webhookDeliveries);
  expect(Object.keys(columns)).toEqual(Object.keys(webhookDeliveries));
});

test('every property of every entity is a column of its table', async () => {
  const all = [...orm.getMetadata().getAll().values()];
  expect(all).toHaveLength(5);
  for (const meta of all) {
    const columns = await columnsOf(meta.tableName);
    const mapped = Object.values(meta.properties).flatMap((property) => property.fieldNames);
    expect(Object.keys(columns)).toEqual(expect.arrayContaining(mapped));
  }
});

test('the view shows the body as it is sent, and times in UTC', async () => {
  const id = await addDelivery('{"b":1,"a":[null]}');
  const row = await viewRow(id);
  expect(row['payload']).toEqual({
    event: 'order.created',
    data: { b: 1, a: [null] },
    timestamp: '2024-01-15T10:30:00.250Z',
    webhook_id: 'webhook_00000000000000000000000001',
    delivery_id: id,
  });
  expect(row).toMatchObject({ status: 'retrying', next_retry_at: '2024-01-15 11:00:00', delivered_at: null });
});

test('a payload that jsonb cannot hold reads as null and breaks no query over the others', async () => {
  const nul = await addDelivery('{"text":"a\\u0000b"}');
  const surrogate = await addDelivery('{"text":"\\ud800"}');
  const fine = await addDelivery('{"text":"fine"}');
  const { rows } = await database.pool.query('select id, payload from webhook_deliveries where id = any ($1)', [
    [nul, surrogate, fine],
  ]);
  const payloads = new Map(rows.map((row) => [row.id, row.payload]));
  expect([payloads.get(nul), payloads.get(surrogate), payloads.get(fine)?.data]).toEqual([null, null, { text: 'fine' }]);
});

async function columnsOf(table: string): Promise<Record<string, string>> {
  const { rows } = await database.pool.query(
    `select attname, format_type(atttypid, atttypmod) as type from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [table],
  );
  return Object.fromEntries(rows.map((row) => [row.attname, row.type]));
}

async function addDelivery(data: string): Promise<string> {
  const eventId = newId('event', Date.now());
  const id = newId('delivery', Date.now());
  await database.pool.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
     values ($1, 'order.created', $2, '2024-01-15T10:30:00.25Z', 'p', '{}', false)`,
    [eventId, data],
  );
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, next_attempt_at)
     values ($1, $2, 'webhook_00000000000000000000000001', 'u', 'order.created', 'retrying', '2024-01-15T12:00:00+01')`,
    [id, eventId],
  );
  return id;
}

async function viewRow(id: string): Promise<Record<string, unknown>> {
  const { rows } = await database.pool.query(
    `select status, payload, next_retry_at::text, delivered_at from webhook_deliveries where id = $1`,
    [id],
  );
  return rows[0];
}
