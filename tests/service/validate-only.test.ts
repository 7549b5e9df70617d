// An event that is only validated: who would get it, who would not and why, with nothing written.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import type { Rest } from '../fixtures/rest.ts';

let service: TestApp;
let publisher: Rest;
let alice: Rest;
const ids: Record<string, string> = {};

beforeAll(async () => {
  service = await startApp();
  publisher = await service.as('orders', 'service');
  alice = await service.as('alice');
  const bob = await service.as('bob');
  const admin = await service.as('root', 'admin');
  const make = async (name: string, by: Rest, events: string[], more: object = {}): Promise<void> => {
    const { status, body } = await by('POST', '/api/v1/webhooks', { url: 'https://example.com/hook', events, ...more });
    expect(status).toBe(201);
    ids[name] = body.id as string;
  };
  await make('hers', alice, ['order.created']);
  await make('other type', alice, ['tip.received']);
  await make('off', alice, ['order.created']);
  await make('his', bob, ['order.created']);
  await make('platform', admin, ['order.created'], { scope: 'platform' });
  await alice('PUT', `/api/v1/webhooks/${ids['off']}`, { is_active: false });
});
afterAll(() => service.close());

const event = (more: object = {}) => ({
  event_type: 'order.created',
  data: { order_id: 'o1' },
  audience: { user_ids: ['alice'] },
  ...more,
});

async function rows(): Promise<unknown> {
  const tables = ['events', 'deliveries', 'idempotency_keys'];
  return Promise.all(tables.map(async (table) => (await service.database.pool.query(`select count(*) from ${table}`)).rows[0]));
}

test('names who would get it and who would not, with the rule, and writes nothing', async () => {
  const before = await rows();
  const { body } = await publisher('POST', '/api/v1/events', event({ validate_only: true, idempotency_key: 'free' }));
  expect(body.validate_only).toBe(true);
  expect(new Set(body.would_deliver)).toEqual(new Set([ids['hers'], ids['platform']]));
  expect(new Map(body.would_not.map(({ webhook_id: id, code }: Record<string, string>) => [id, code]))).toEqual(
    new Map([
      [ids['other type'], 'event_type'],
      [ids['off'], 'active'],
    ]),
  );
  for (const { message } of body.would_not) expect(message).toMatch(/^The webhook is /);
  expect(await rows()).toEqual(before);
});

test('says what publishing does: the same event then makes those deliveries, and its answer is as ever', async () => {
  const validated = await publisher('POST', '/api/v1/events', event({ validate_only: true }));
  const published = await publisher('POST', '/api/v1/events', event({ idempotency_key: 'free' }));
  expect(Object.keys(published.body).toSorted()).toEqual(['deliveries', 'duplicate', 'event_id']);
  const { rows: owed } = await service.database.pool.query('select webhook_id from deliveries where event_id = $1', [
    published.body.event_id,
  ]);
  expect(new Set(owed.map((row) => row.webhook_id as string))).toEqual(new Set(validated.body.would_deliver));
});

test('a broadcast names whom it would reach, and no user is an empty list', async () => {
  const broadcast = await publisher('POST', '/api/v1/events', event({ audience: { broadcast: true }, validate_only: true }));
  expect(new Set(broadcast.body.would_deliver)).toEqual(new Set([ids['hers'], ids['his'], ids['platform']]));
  expect(broadcast.body.would_not).toMatchObject([{ webhook_id: ids['off'], code: 'active' }]);
  const nobody = { ...event({ audience: { user_ids: ['nobody'] }, validate_only: true }), event_type: 'chef.approved' };
  expect((await publisher('POST', '/api/v1/events', nobody)).body).toMatchObject({ would_deliver: [], would_not: [] });
});

test('what could not be published is refused all the same, and in a batch nothing is only validated', async () => {
  const before = await rows();
  const bad = await publisher('POST', '/api/v1/events', event({ event_type: 'order.eaten', validate_only: true }));
  expect(bad).toMatchObject({ status: 400, body: { error: { reason: 'event_type_unknown' } } });
  const batch = await publisher('POST', '/api/v1/events/batch', { events: [event({ validate_only: true })] });
  expect(batch).toMatchObject({ status: 422, body: { accepted: 0, results: [{ error: { reason: 'field_invalid' } }] } });
  expect(batch.body.results[0].error.field).toMatch(/validate_only$/);
  expect(await rows()).toEqual(before);
});
