// The service's own pause of a webhook that fails for too long.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Hold } from '../../src/persistence/delivery-state.ts';
import { disableWebhook } from '../../src/persistence/queries/disable-webhook.ts';
import { pauseFailingWebhook } from '../../src/persistence/queries/pause-failing-webhook.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate webhook_endpoints, releases');
});

async function insert(onFailing: string, more: string = ''): Promise<void> {
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, retry_policy, previous_secrets, on_failing)
     values ('webhook_1', 'alice', 'https://example.org/', '["order.created"]', 's', 'hint', '{}', '[]', $1)`,
    [onFailing],
  );
  if (more !== '') await database.pool.query(`update webhook_endpoints set ${more}`);
}

const webhook = async (): Promise<unknown> =>
  (
    await database.pool.query(
      `select hold, is_gathering, release_id, paused_reason, paused_at is not null as has_time, is_active from webhook_endpoints`,
    )
  ).rows[0];

test('pauses it, gathers what is scheduled, and ends the release that drains its hold', async () => {
  await insert('hold', `hold = ${Hold.releasing}, release_id = 'release_1'`);
  await database.pool.query(
    `insert into releases (id, webhook_id, user_id, kind, rate) values
       ('release_1', 'webhook_1', 'alice', 'resume', 50), ('release_2', 'webhook_2', 'bob', 'resume', 50)`,
  );
  expect(await pauseFailingWebhook(database.pool, 'webhook_1')).toBe('alice');
  expect(await webhook()).toEqual({
    hold: Hold.paused,
    is_gathering: true,
    release_id: null,
    paused_reason: 'failing',
    has_time: true,
    is_active: true,
  });
  const { rows } = await database.pool.query('select id, state, reason from releases order by id');
  expect(rows).toEqual([
    { id: 'release_1', state: 'cancelled', reason: 'webhook_paused' },
    { id: 'release_2', state: 'running', reason: null },
  ]);
});

test('of processes that find it failing at once, one pauses it, and none disables it', async () => {
  await insert('hold');
  const results = await Promise.all(Array.from({ length: 5 }, () => pauseFailingWebhook(database.pool, 'webhook_1')));
  expect(results.filter((userId) => userId === 'alice')).toHaveLength(1);
  expect(await disableWebhook(database.pool, 'webhook_1', 'failing')).toBeNull();
  expect(await webhook()).toMatchObject({ is_active: true, hold: Hold.paused });
});

test.each([
  ['its owner has paused already', 'hold', `hold = ${Hold.paused}`],
  ['is to be disabled', 'disable', ''],
  ['is disabled', 'hold', 'is_active = false'],
  ['was deleted', 'hold', 'deleted_at = now()'],
])('a webhook that %s is left as it is', async (_, onFailing, more) => {
  await insert(onFailing, more);
  const before = await webhook();
  expect(await pauseFailingWebhook(database.pool, 'webhook_1')).toBeNull();
  expect(await webhook()).toEqual(before);
});
