// One user's calls take that user's share of the connections, and no one else's.
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Reports } from '../../src/persistence/reports.ts';
import { getWebhookStats } from '../../src/service/get-webhook-stats.ts';
import { listDeliveries, type ListDeliveriesInput } from '../../src/service/list-deliveries.ts';
import { listWebhooks } from '../../src/service/list-webhooks.ts';
import { rotateSecret } from '../../src/service/rotate-secret.ts';
import { eventually } from '../fixtures/eventually.ts';
import { addDelivery, alice, aWebhook, type Management, mallory, someWebhook, startManagement } from './management.ts';
import { createWebhook } from '../../src/service/create-webhook.ts';

let management: Management;
beforeAll(async () => {
  management = await startManagement();
});
afterAll(() => management.close());

const everything: ListDeliveriesInput = {
  page: 0,
  limit: 0,
  pageToken: '',
  statuses: [],
  webhookIds: [],
  httpStatus: null,
  errorCode: '',
  order: 'desc' as const,
  eventType: '',
  eventId: '',
  sinceMs: null,
  untilMs: null,
  userId: '',
};

/** Statements wait until they are let through; `waiting` are those that hold a connection meanwhile. */
function heldBack(pool: Pool) {
  const waiting = new Set<() => void>();
  const query = async (...parameters: unknown[]): Promise<unknown> => {
    await new Promise<void>((resolve) => waiting.add(resolve));
    return (pool.query as (...given: unknown[]) => Promise<unknown>).call(pool, ...parameters);
  };
  const connect = async (): Promise<unknown> => {
    await new Promise<void>((resolve) => waiting.add(resolve));
    return pool.connect();
  };
  return {
    pool: { query, connect } as unknown as Pool,
    waiting,
    release: () => {
      for (const resolve of waiting) resolve();
      waiting.clear();
    },
  };
}

test('statistics that one user asks for forty times at once hold two connections, and another user has the third', async () => {
  const held = heldBack(management.database.pool);
  const context = { ...management.context, reports: new Reports(held.pool) };
  const { id } = await someWebhook(management, alice);
  const input = { webhookId: id, sinceMs: null, untilMs: null };
  const asked = Array.from({ length: 40 }, () =>
    getWebhookStats(context, alice, input).then(
      () => 'done',
      (error) => error.reason,
    ),
  );
  await eventually(() => held.waiting.size === 2, { what: 'two reports' });
  const other = listDeliveries(context, mallory, everything);
  await eventually(() => held.waiting.size === 3, { what: 'the other user’s report' });
  const letThrough = setInterval(held.release, 1);
  expect(await other).toMatchObject({ items: [] });
  const outcomes = await Promise.all(asked);
  clearInterval(letThrough);
  // Two run and sixteen wait; the others come too many, unless something has ended by the time they come.
  expect(new Set(outcomes)).toEqual(new Set(['done', 'overloaded']));
  expect(outcomes.filter((outcome) => outcome === 'done').length).toBeGreaterThanOrEqual(18);
});

test('a report that takes longer than it may is ended, and says what to ask instead', async () => {
  const reports = new Reports(management.database.pool);
  const slow = reports.run('alice', async (pool) => {
    const client = await pool.connect();
    try {
      await client.query('set statement_timeout = 20');
      await client.query('select pg_sleep(10)');
    } finally {
      client.release(true);
    }
  });
  await expect(slow).rejects.toMatchObject({ code: 'deadline_exceeded', message: expect.stringContaining('shorter time') });
});

test('changes that wait for a user’s own lock leave connections to all other users', async () => {
  const { id } = await someWebhook(management, alice);
  const blocker = await management.database.pool.connect();
  await blocker.query('begin');
  await blocker.query(`select pg_advisory_xact_lock(hashtextextended('webhooks of alice', 0))`);
  await blocker.query('select 1 from webhook_endpoints where id = $1 for update', [id]);
  const changes = [
    ...Array.from({ length: 20 }, () => createWebhook(management.context, alice, aWebhook)),
    ...Array.from({ length: 20 }, () => rotateSecret(management.context, alice, id)),
  ];
  const settled = Promise.allSettled(changes);
  const waitsForLock = `select count(*)::integer as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await eventually(async () => (await blocker.query(waitsForLock)).rows[0].n === 2, { what: 'two changes that wait' });
  await listWebhooks(management.context, mallory, {
    page: 0,
    limit: 0,
    pageToken: '',
    userId: '',
    isActive: null,
    url: '',
    eventType: '',
    text: '',
    webhookIds: [],
  });
  await createWebhook(management.context, mallory, aWebhook);
  await blocker.query('rollback');
  blocker.release();
  expect((await settled).filter(({ status }) => status === 'rejected')).toEqual([]);
});

test('a list of what is rare looks at so much a page, and its tokens lead to all of it, each once', async () => {
  const now = Date.now();
  const hooks = [await someWebhook(management, alice), await someWebhook(management, alice)];
  const rare: string[] = [];
  for (let i = 0; i < 40; i += 1) {
    const eventType = i % 13 === 0 ? 'payment.success' : 'order.created';
    const made = await addDelivery(management, {
      webhookId: hooks[i % 2]!.id,
      eventType,
      madeAtMs: now - i * 10,
      status: 'delivered',
    });
    if (eventType === 'payment.success') rare.push(made);
  }
  for (const filter of [{ eventType: 'payment.success' }, { eventType: 'payment.success', status: 'delivered' as const }]) {
    const seen: string[] = [];
    let pages = 0;
    for (let pageToken = '', more = true; more; more = pageToken !== '') {
      const page = await listDeliveries(
        management.context,
        alice,
        { ...everything, ...filter, limit: 1, pageToken },
        { maxLookedAt: 6 },
      );
      expect(page.totalIsExact).toBe(false);
      seen.push(...page.items.map(({ id }) => id));
      pageToken = page.nextPageToken;
      pages += 1;
    }
    expect(seen).toEqual(rare);
    expect(pages).toBeGreaterThan(5);
  }
});
