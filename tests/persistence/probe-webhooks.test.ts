// Which webhooks are probed, how long, and what brings them back.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { Hold } from '../../src/persistence/delivery-state.ts';
import { closeGone } from '../../src/persistence/queries/disable-webhook.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { bringBack, leaseHeld, scheduleMissedProbes, takeProbes } from '../../src/persistence/queries/probe-webhooks.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const DISABLED = `is_active = false, disabled_reason = 'failing', disabled_at = now(), next_probe_at = now()`;
const PAUSED = `hold = ${Hold.paused}, paused_reason = 'failing', paused_at = now(), next_probe_at = now()`;
const RELEASE = { id: 'release_1', rate: 50 };

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate webhook_endpoints, releases, webhook_changes');
  await database.pool.query('delete from deliveries');
});

async function insert(id: string, state: string): Promise<void> {
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, retry_policy, previous_secrets, consecutive_failures)
     values ($1, 'alice', 'https://example.org/', '["order.created"]', 's', 'hint', '{}', '[]', 20)`,
    [id],
  );
  await database.pool.query(`update webhook_endpoints set ${state} where id = $1`, [id]);
}

async function hold(webhookId: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => newId('delivery', Date.now() - 60_000 + index));
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, held_at, created_at)
     select i, 'event_1', $2, 'alice', 'order.created', now(), now() - interval '1 minute' from unnest($1::text[]) i`,
    [ids, webhookId],
  );
  return ids;
}

const take = (max = 10, days = 7) => takeProbes(database.pool, { intervalMs: 60_000, days, max });

const row = async (columns: string): Promise<unknown> =>
  (await database.pool.query(`select ${columns} from webhook_endpoints order by id limit 1`)).rows[0];

const changes = async (): Promise<unknown[]> =>
  (await database.pool.query('select action, reason, by_user from webhook_changes order by no')).rows;

test('what is due is taken once, by whichever of two leaders, and is due again an interval later', async () => {
  for (const id of ['webhook_1', 'webhook_2', 'webhook_3']) await insert(id, DISABLED);
  await insert('webhook_4', DISABLED.replace('next_probe_at = now()', `next_probe_at = now() + interval '1 minute'`));
  const [one, other] = await Promise.all([take(), take()]);
  const taken = [...one.probes, ...other.probes].map(({ webhookId }) => webhookId);
  expect(taken.toSorted()).toEqual(['webhook_1', 'webhook_2', 'webhook_3']);
  expect((await take()).probes).toEqual([]);
  expect(await row(`next_probe_at > now() + interval '50 seconds' as later`)).toEqual({ later: true });
});

test('no more are taken at once than were asked for, and the answer says that there may be more', async () => {
  for (const id of ['webhook_1', 'webhook_2', 'webhook_3']) await insert(id, DISABLED);
  expect(await take(2)).toMatchObject({ probes: [{}, {}], isMore: true });
  expect(await take(2)).toMatchObject({ probes: [{}], isMore: false });
});

test('a paused webhook is probed with its oldest held delivery, a disabled one and one without any with none', async () => {
  await insert('webhook_1', PAUSED);
  await insert('webhook_2', PAUSED);
  await insert('webhook_3', DISABLED);
  const [oldest] = await hold('webhook_1', 3);
  const { probes } = await take();
  expect(probes.toSorted((a, b) => (a.webhookId < b.webhookId ? -1 : 1))).toEqual([
    { webhookId: 'webhook_1', deliveryId: oldest },
    { webhookId: 'webhook_2', deliveryId: null },
    { webhookId: 'webhook_3', deliveryId: null },
  ]);
});

test.each([
  ['disabled', DISABLED.replace('disabled_at = now()', `disabled_at = now() - interval '7 days 1 minute'`)],
  ['paused', PAUSED.replace('paused_at = now()', `paused_at = now() - interval '7 days 1 minute'`)],
])('a webhook that was %s a week ago is probed no more, and its history says so', async (_, state) => {
  await insert('webhook_1', state);
  expect(await take()).toMatchObject({ probes: [], ended: [{ webhookId: 'webhook_1', userId: 'alice' }] });
  expect(await row('next_probe_at')).toEqual({ next_probe_at: null });
  expect(await changes()).toEqual([{ action: 'probing_ended', reason: 'receiver_away', by_user: null }]);
  expect(await take()).toMatchObject({ probes: [], ended: [] });
});

test.each([
  ['was enabled', 'next_probe_at = now()'],
  ['was disabled by its owner', 'is_active = false, next_probe_at = now()'],
  ['is gone', DISABLED.replace('failing', 'gone')],
  ['was deleted', `${DISABLED}, deleted_at = now()`],
  ['was resumed', PAUSED.replace(`hold = ${Hold.paused}`, `hold = ${Hold.releasing}`)],
])('a webhook that %s is probed no more, also when a process that knows no probes did it', async (_, state) => {
  await insert('webhook_1', state);
  expect(await take()).toMatchObject({ probes: [], ended: [] });
  expect(await row('next_probe_at')).toEqual({ next_probe_at: null });
  expect(await bringBack(database.pool, 'webhook_1', 1, RELEASE)).toBeNull();
  expect(await changes()).toEqual([]);
});

test('one that was changed after its probe was sent is not brought back: something else was probed', async () => {
  await insert('webhook_1', DISABLED);
  expect(await bringBack(database.pool, 'webhook_1', 2, RELEASE)).toBeNull();
  expect(await closeGone(database.pool, 'webhook_1', 2)).toBeNull();
  expect(await row('is_active, disabled_reason')).toEqual({ is_active: false, disabled_reason: 'failing' });
});

test('of processes that bring one back at once one does, and forgets its failures', async () => {
  await insert('webhook_1', DISABLED);
  const results = await Promise.all(Array.from({ length: 5 }, () => bringBack(database.pool, 'webhook_1', 1, RELEASE)));
  expect(results.filter((result) => result !== null)).toEqual([{ userId: 'alice', how: 'enabled' }]);
  const columns = 'is_active, disabled_reason, disabled_at, consecutive_failures, failing_since, next_probe_at, revision';
  expect(await row(columns)).toEqual({
    is_active: true,
    disabled_reason: null,
    disabled_at: null,
    consecutive_failures: 0,
    failing_since: null,
    next_probe_at: null,
    revision: 2,
  });
  expect(await changes()).toEqual([{ action: 'enabled', reason: 'receiver_back', by_user: null }]);
});

test('a paused one is resumed by a release at the pace that was given', async () => {
  await insert('webhook_1', PAUSED);
  await insert('webhook_2', PAUSED);
  await hold('webhook_2', 2);
  expect(await bringBack(database.pool, 'webhook_1', 1, { ...RELEASE, rate: 5 })).toEqual({ userId: 'alice', how: 'resumed' });
  await bringBack(database.pool, 'webhook_2', 1, { id: 'release_2', rate: 50 });
  const { rows } = await database.pool.query(
    'select r.id, r.kind, r.rate, r.matched::integer, w.hold, w.paused_reason from releases r join webhook_endpoints w on w.release_id = r.id order by 1',
  );
  expect(rows).toEqual([
    { id: 'release_1', kind: 'resume', rate: 5, matched: 0, hold: Hold.releasing, paused_reason: null },
    { id: 'release_2', kind: 'resume', rate: 50, matched: 2, hold: Hold.releasing, paused_reason: null },
  ]);
});

test('a delivery that a probe sends stays held, is leased once, and no other process sends it when it is released meanwhile', async () => {
  await insert('webhook_1', PAUSED);
  const [id = ''] = await hold('webhook_1', 1);
  const tokens = await Promise.all([leaseHeld(database.pool, id, 60_000), leaseHeld(database.pool, id, 60_000)]);
  const [token, ...others] = tokens.filter((found) => found !== null);
  expect(others).toEqual([]);
  await database.pool.query('update deliveries set held_at = null, next_attempt_at = now() where id = $1', [id]);
  const waitOf = async (token_: number) =>
    (await loadDeliveries(database.pool, [{ deliveryId: id, token: token_ }]))[0]?.waitMs;
  expect(await waitOf(token ?? 0)).toBe(0);
  expect(await waitOf(0)).toBeGreaterThan(30_000);
});

const UNPROBED = { disabled: DISABLED, paused: PAUSED };
const missed = (days = 7, max = 10) => scheduleMissedProbes(database.pool, { intervalMs: 60_000, days, max });
/** As a process leaves it that stops webhooks and knows no probes, so long ago. */
const stoppedWithoutProbe = (how: keyof typeof UNPROBED, ago: string) =>
  UNPROBED[how]
    .replace('next_probe_at = now()', `next_probe_at = null, updated_at = (now() - interval '${ago}') at time zone 'utc'`)
    .replace('_at = now()', `_at = now() - interval '${ago}'`);

test.each(['disabled', 'paused'] as const)(
  'a webhook that was %s by a process that knows no probes is probed within an interval',
  async (how) => {
    await insert('webhook_1', stoppedWithoutProbe(how, '6 days'));
    expect((await take()).probes).toEqual([]);
    expect(await missed()).toBe(1);
    expect(await missed()).toBe(0);
    expect(await row(`next_probe_at <= now() + interval '1 minute' as soon`)).toEqual({ soon: true });
    await database.pool.query('update webhook_endpoints set next_probe_at = now()');
    expect(await take()).toMatchObject({ probes: [{ webhookId: 'webhook_1' }], ended: [] });
  },
);

test.each([
  ['was stopped longer ago than webhooks are probed', stoppedWithoutProbe('disabled', '8 days')],
  [
    'a caller has changed since',
    stoppedWithoutProbe('paused', '1 day').replace(/updated_at = .* at time/, 'updated_at = now() at time'),
  ],
  ['is gone', stoppedWithoutProbe('disabled', '1 day').replace('failing', 'gone')],
  ['was deleted', `${stoppedWithoutProbe('disabled', '1 day')}, deleted_at = now()`],
])('a webhook that %s is given no probe', async (_, state) => {
  await insert('webhook_1', state);
  expect(await missed()).toBe(0);
  expect(await row('next_probe_at')).toEqual({ next_probe_at: null });
});

test('where webhooks are not probed, none is given a probe', async () => {
  await insert('webhook_1', stoppedWithoutProbe('disabled', '1 hour'));
  expect(await missed(0)).toBe(0);
});
