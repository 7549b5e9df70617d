// Housekeeping: what has expired goes, by clocks that agree.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { Housekeeper } from '../../src/maintenance/housekeeper.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const WEBHOOK = newId('webhook', Date.now());
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** Keys, old secrets of the webhook, and entries of its history. */
async function left(): Promise<[number, number, number]> {
  const { rows } = await database.pool.query<{ keys: number; secrets: number; changes: number }>(
    `select (select count(*)::integer from idempotency_keys) + (select count(*)::integer from idempotent_calls) as keys,
       (select sum(jsonb_array_length(previous_secrets))::integer from webhook_endpoints) as secrets,
       (select count(*)::integer from webhook_changes) as changes`,
  );
  return [rows[0]?.keys ?? -1, rows[0]?.secrets ?? -1, rows[0]?.changes ?? -1];
}

const ended: string[] = [];
/** One round, by a machine whose clock shows this. */
async function housekeep(processNowMs: () => number): Promise<void> {
  const rounds = ended.length;
  // Closed webhooks are looked for after keys and secrets.
  await database.pool.query('update webhook_endpoints set is_active = false');
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at) values ($1, 'event_1', $2, 'alice', 'order.created', now())`,
    [newId('delivery', Date.now()), WEBHOOK],
  );
  const housekeeper = new Housekeeper({
    pool: database.pool,
    isLeading: () => true,
    retentionDays: 30,
    statsDays: 400,
    onWrongSums: () => undefined,
    now: Date.now,
    processNowMs,
    log: silentLogger,
    onHeldExpired: () => undefined,
    endWaiting: (webhookId) => Promise.resolve(void ended.push(webhookId)),
  });
  await housekeeper.start();
  await eventually(() => ended.length > rounds);
  await housekeeper.drain();
}

test('idempotency keys, old secrets and the history of webhooks that expired by a clock of the database alone are kept until the clocks agree', async () => {
  await database.pool.query(
    `insert into idempotency_keys (publisher, key, request_hash, event_id, expires_at)
     values ('p', 'expired', '', 'event_1', now() - interval '1 minute'), ('p', 'valid', '', 'event_2', now() + interval '1 hour')`,
  );
  await database.pool.query(
    `insert into idempotent_calls (caller, method, key, expires_at)
     values ('p', 'm', 'expired', now() - interval '1 minute'), ('p', 'm', 'valid', now() + interval '1 hour')`,
  );
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, previous_secrets)
     values ($1, 'alice', 'https://example.com/', '["order.created"]', 's', 'h', jsonb_build_array(
       jsonb_build_object('secret', 'old', 'expires_at', now() - interval '1 minute'),
       jsonb_build_object('secret', 'older', 'expires_at', now() + interval '1 hour')))`,
    [WEBHOOK],
  );
  await database.pool.query(
    `insert into webhook_changes (webhook_id, action, at)
     values ($1, 'created', now() - interval '366 days'), ($1, 'updated', now() - interval '364 days')`,
    [WEBHOOK],
  );
  await housekeep(() => Date.now() - 61_000);
  expect(await left()).toEqual([4, 2, 2]);
  await housekeep(Date.now);
  expect(await left()).toEqual([2, 1, 1]);
});

test('releases are kept for as long as what they made due, and those that have not ended for good', async () => {
  await database.pool.query(
    `insert into releases (id, webhook_id, user_id, kind, rate, state, made_at, ended_at) values
       ('release_old', $1, 'alice', 'resume', 50, 'completed', now() - interval '40 days', now() - interval '33 days'),
       ('replay_old', $1, 'alice', 'replay', 50, 'cancelled', now() - interval '40 days', now() - interval '33 days'),
       ('replay_young', $1, 'alice', 'replay', 50, 'completed', now() - interval '40 days', now() - interval '31 days'),
       ('replay_open', $1, 'alice', 'replay', 50, 'paused', now() - interval '40 days', null)`,
    [WEBHOOK],
  );
  await database.pool.query(
    `insert into release_notes (release_no, outcome) select no, 'failed' from releases where id in ('release_old', 'replay_young')`,
  );
  const kept = async (): Promise<unknown[]> =>
    (
      await database.pool.query(
        `select r.id, n.outcome from releases r full join release_notes n on n.release_no = r.no order by r.no`,
      )
    ).rows;
  await housekeep(() => Date.now() - 61_000);
  expect(await kept()).toHaveLength(4);
  await housekeep(Date.now);
  expect(await kept()).toEqual([
    { id: 'replay_young', outcome: 'failed' },
    { id: 'replay_open', outcome: null },
  ]);
});
