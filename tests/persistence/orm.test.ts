// Entities: whose rows a caller sees, what a time means, and what a database must promise.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Delivery } from '../../src/persistence/entities/delivery.ts';
import { WebhookEndpoint } from '../../src/persistence/entities/webhook-endpoint.ts';
import { createOrm, entityManagerOf, type Orm } from '../../src/persistence/orm.ts';
import { administer, createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const id = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let orm: Orm;
beforeAll(async () => {
  database = await createTestDatabase();
  orm = await createOrm(database.config, () => {});
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, created_at)
     values ($1, 'alice', 'https://example.com', '["order.created"]', 's', 'h', '2024-01-15 10:30:00')`,
    [id],
  );
});
afterAll(async () => {
  await orm.close(true);
  await database.drop();
});

test('a query that forgets whose rows it may see is an error, not a leak', async () => {
  const forgetful = orm.em.fork();
  await expect(forgetful.find(WebhookEndpoint, {})).rejects.toThrow('owner');
  await expect(forgetful.count(Delivery, {})).rejects.toThrow('owner');
  await expect(forgetful.nativeUpdate(Delivery, {}, { status: 'cancelled' })).rejects.toThrow('owner');
  await expect(forgetful.nativeDelete(WebhookEndpoint, {})).rejects.toThrow('owner');
  await expect(entityManagerOf(orm, { userId: '' }).find(WebhookEndpoint, {})).rejects.toThrow('owner');
});

test('a user sees their own rows, everyone is asked for by name', async () => {
  const seenBy = async (owner: Parameters<typeof entityManagerOf>[1]) =>
    entityManagerOf(orm, owner).count(WebhookEndpoint, { id });
  expect([await seenBy({ userId: 'alice' }), await seenBy({ userId: 'mallory' }), await seenBy({ everyone: true })]).toEqual([
    1, 0, 1,
  ]);
});

test('reading a webhook and writing it back changes nothing', async () => {
  const manager = entityManagerOf(orm, { userId: 'alice' });
  const webhook = await manager.findOneOrFail(WebhookEndpoint, { id });
  manager.getUnitOfWork().computeChangeSets();
  expect(webhook.events).toEqual(['order.created']);
  expect(manager.getUnitOfWork().getChangeSets()).toEqual([]);
});

test('timestamps without a zone are UTC on a machine that is elsewhere', async () => {
  const program = `
    import { createOrm, entityManagerOf } from './src/persistence/orm.ts';
    import { WebhookEndpoint } from './src/persistence/entities/webhook-endpoint.ts';
    const orm = await createOrm(${JSON.stringify(database.config)}, () => {});
    const manager = entityManagerOf(orm, { everyone: true });
    const webhook = await manager.findOneOrFail(WebhookEndpoint, { id: '${id}' });
    console.log(webhook.createdAt.toISOString());
    webhook.updatedAt = new Date('2024-06-15T12:00:00Z');
    await manager.flush();
    await orm.close();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    env: { ...process.env, TZ: 'Asia/Tokyo' },
  });
  expect(stdout.trim()).toBe('2024-01-15T10:30:00.000Z');
  const { rows } = await database.pool.query('select updated_at::text from webhook_endpoints where id = $1', [id]);
  expect(rows).toEqual([{ updated_at: '2024-06-15 12:00:00' }]);
});

test('a database that confirms commits before they are on disk is refused', async () => {
  const careless = await createTestDatabase();
  try {
    await administer(careless.config, `alter database ${careless.config.name} set synchronous_commit = off`);
    await expect(createOrm(careless.config, () => {})).rejects.toThrow('synchronous_commit');
  } finally {
    await careless.drop();
  }
});
