// Whether the sums stay exact while everything happens at once: deliveries are made, tried, tried again, cancelled and rolled back, long
// transactions stay open, and two processes sum up that are killed again and again.
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { haveAllEnded, readPlace } from '../../src/persistence/queries/close-sums.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes, type OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { cancelDelivery } from '../../src/persistence/queries/cancel-delivery.ts';
import { foldSome, sumPage } from '../../src/persistence/queries/sum-log.ts';
import { connectionOptions, createPool } from '../../src/persistence/pool.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, outcomeRow } from './hot-rows.ts';
import { beginSums, wrongSums } from './sums.ts';

const HOUR_MS = 3_600_000;
const WEBHOOKS = 40;
const USERS = 8;
/** Hours that pass while the writers write: a day and two halves. */
const HOURS = 40;
const PAGE_DELIVERIES = 60;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 5, 5)`);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || n, 'user_' || n % $2, 'https://example.com/', '["order.created","tip.received"]', 's', 'h'
     from generate_series(1, $1::integer) n`,
    [WEBHOOKS, USERS],
  );
});
afterAll(() => database.drop());

const random = (below: number): number => Math.floor(Math.random() * below);
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;

test('sums equal the log after writers and processes that sum up were killed, rolled back and held up', async () => {
  const firstMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - (HOURS + 6) * HOUR_MS;
  await beginSums(database.pool, firstMs);
  const batch = createPool(database.config, () => undefined, { max: 8, settings: batchSettings });
  let hour = 2;
  let stop = false;
  const ids: string[] = [];
  const wrote = { outcomes: 0, rolledBack: 0, cancelled: 0 };
  const summed = { pages: 0, folded: 0, kills: 0 };

  const write = async (): Promise<void> => {
    while (!stop) {
      // Some are made below what is closed already.
      const events = Array.from({ length: 10 }, () =>
        eventRow({
          id: newId('event', firstMs + Math.floor((hour - 0.6 + Math.random() * 1.6) * HOUR_MS)),
          userIds: [`user_${random(USERS)}`],
          eventType: random(30) === 0 ? 'tip.received' : 'order.created',
        }),
      );
      const { deliveries } = await insertEvents(batch, events, null);
      ids.push(...[...deliveries.values()].flat().map(({ deliveryId }) => deliveryId));
      const client = await batch.connect();
      await client.query('begin');
      const chosen = new Set(
        Array.from({ length: 40 }, () => (Math.random() < 0.7 ? (ids.at(-1 - random(300)) ?? '') : pick(ids))),
      );
      const { rows } = await client.query<{ id: string; attemptCount: number; webhookId: string }>(
        `select id, attempt_count as "attemptCount", webhook_id as "webhookId" from deliveries where id = any ($1)`,
        [[...chosen]],
      );
      await recordOutcomes(client, rows.map(outcome)).catch(() => undefined);
      wrote.outcomes += rows.length;
      // One that takes long: what it does shows hours later.
      if (random(8) === 0) await client.query('select pg_sleep($1)', [Math.random() / 2]);
      const isKept = random(8) > 0;
      await client.query(isKept ? 'commit' : 'rollback');
      if (!isKept) wrote.rolledBack += 1;
      client.release();
      if (random(4) === 0) await cancelDelivery(batch, pick(ids));
      if (random(6) === 0) {
        const webhookId = `webhook_${1 + random(WEBHOOKS)}`;
        await batch.query('update webhook_endpoints set is_active = false where id = $1', [webhookId]);
        wrote.cancelled += (await cancelDeliveries(batch, webhookId, 1000, false)).count;
        await batch.query('update webhook_endpoints set is_active = true where id = $1', [webhookId]);
      }
    }
  };
  const passTime = async (): Promise<void> => {
    for (; hour < HOURS && !stop; hour += 1) {
      const made = ids.length;
      const { pages } = summed;
      await eventually(() => ids.length > made + 40 && summed.pages > pages);
    }
    stop = true;
  };
  const sessions = new Set<number>();
  const sumUp = async (): Promise<void> => {
    while (!stop) {
      const pool = new pg.Pool({ ...connectionOptions(database.config), max: 1 });
      pool.on('error', () => undefined);
      pool.on('connect', (client) => client.on('error', () => undefined));
      const closed = { below: '', at: '' };
      try {
        sessions.add((await pool.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid);
        while (!stop) {
          // Within an hour too, as where an hour has more than a page.
          await pool.query('update summing set closing_below = $1 where closing_below < $1 and hours_below = closing_below', [
            idFloor('delivery', firstMs + Math.floor((hour - (random(2) === 0 ? 0 : 0.5)) * HOUR_MS)),
          ]);
          const place = await readPlace(pool);
          if (place.closingBelow !== closed.below) Object.assign(closed, { below: place.closingBelow, at: place.at });
          summed.folded += (await foldSome(pool))?.folded ?? 0;
          if (!(await haveAllEnded(pool, closed.at))) continue;
          const page = await sumPage(pool, closed.below, PAGE_DELIVERIES);
          summed.folded += page?.folded ?? 0;
          summed.pages += page?.isMore === true ? 1 : 0;
        }
      } catch (error) {
        // Killed: the next one goes on. What PostgreSQL finds wrong with a statement is not that.
        if (String((error as { code?: unknown }).code).startsWith('42')) throw error;
      }
      await pool.end().catch(() => undefined);
    }
  };
  const kill = async (): Promise<void> => {
    while (!stop) {
      await database.pool.query('select pg_sleep($1)', [0.05 + Math.random() / 10]);
      for (const pid of sessions) {
        await database.pool.query('select pg_terminate_backend($1)', [pid]);
        sessions.delete(pid);
        summed.kills += 1;
      }
    }
  };
  try {
    await Promise.all([write(), write(), write(), passTime(), sumUp(), sumUp(), kill()]);
    const end = idFloor('delivery', firstMs + HOURS * HOUR_MS);
    await database.pool.query('update summing set closing_below = $1', [end]);
    const place = await readPlace(database.pool);
    await eventually(() => haveAllEnded(database.pool, place.at));
    while ((await foldSome(database.pool))?.isMore === true);
    while ((await sumPage(database.pool, place.closingBelow, PAGE_DELIVERIES))?.isMore === true);
    expect(await readPlace(database.pool)).toMatchObject({ hoursBelow: end, closingBelow: end });
  } finally {
    await batch.end();
  }
  expect(summed.kills).toBeGreaterThan(1);
  expect(summed.folded).toBeGreaterThan(100);
  expect(summed.pages).toBeGreaterThan(HOURS / 2);
  expect(wrote.rolledBack).toBeGreaterThan(3);
  expect(wrote.cancelled).toBeGreaterThan(0);
  console.info(JSON.stringify({ deliveries: ids.length, ...wrote, ...summed }));
  expect(await wrongSums(database.pool)).toEqual([]);
}, 180_000);

function outcome({ id, attemptCount, webhookId }: { id: string; attemptCount: number; webhookId: string }): OutcomeRow {
  const status = pick(['delivered', 'delivered', 'retrying', 'failed'] as const);
  const failure = pick([
    { httpStatus: null, errorCode: 'timeout' },
    { httpStatus: 500, errorCode: 'http_status' },
  ] as const);
  return outcomeRow(id, {
    attemptCount,
    webhookId,
    status,
    durationMs: random(2000),
    delayMs: status === 'retrying' ? 1000 : null,
    ...(status === 'delivered' ? {} : failure),
  });
}
