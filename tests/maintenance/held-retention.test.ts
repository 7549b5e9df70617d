// What is held for longer than deliveries are kept ends, and never silently.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { DAY_MS } from '../../src/domain/time-units.ts';
import { expireHeldDeliveries } from '../../src/maintenance/held-retention.ts';
import { dropPastDays } from '../../src/maintenance/retention.ts';
import type { DeliveryRow } from '../../src/persistence/queries/delivery-row.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const RETENTION_DAYS = 38;
const now = Date.now();

let database: TestDatabase;
let announced: DeliveryRow[];
beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 40, 5)`);
  await database.pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 minute')`);
  await database.pool.query(`update summing set days_below = id_floor('delivery', now())`);
});
afterAll(() => database.drop());
beforeEach(async () => {
  announced = [];
  await database.pool.query('delete from deliveries');
});

async function hold(ageDays: number): Promise<string> {
  const id = newId('delivery', now - ageDays * DAY_MS);
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, held_at)
     values ($1, 'event_1', 'webhook_1', 'alice', 'order.created', now())`,
    [id],
  );
  return id;
}

const common = { retentionDays: RETENTION_DAYS, isLeading: () => true };
const expire = (more: { processNowMs?: () => number; isLeading?: () => boolean } = {}): Promise<number> =>
  expireHeldDeliveries({ pool: database.pool, ...common, onHeldExpired: (rows) => announced.push(...rows), ...more });

test('held deliveries past retention are cancelled with the reason, each announced, and younger ones are kept', async () => {
  const [old, young] = [await hold(RETENTION_DAYS + 1), await hold(RETENTION_DAYS - 1)];
  expect(await expire()).toBe(1);
  expect(announced).toMatchObject([{ id: old, status: 'cancelled', cancelReason: 'retention' }]);
  const { rows } = await database.pool.query(
    'select id, status, cancel_reason, held_at is null as ended from deliveries order by id',
  );
  expect(rows).toEqual([
    { id: old, status: 'cancelled', cancel_reason: 'retention', ended: true },
    { id: young, status: 'pending', cancel_reason: null, ended: false },
  ]);
  expect(await expire()).toBe(0);
});

test('a day with something held is not dropped until that has been cancelled', async () => {
  await hold(RETENTION_DAYS + 2);
  const drop = (): Promise<string[]> => dropPastDays({ pool: database.pool, ...common, log: silentLogger });
  const day = new Date(now - (RETENTION_DAYS + 2) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
  expect(await drop()).not.toContain(`deliveries_${day}`);
  await expire();
  expect(await drop()).toContain(`deliveries_${day}`);
});

test('nothing is cancelled while the clocks of database and process differ, or by a process that does not lead', async () => {
  await hold(RETENTION_DAYS + 1);
  expect(await expire({ processNowMs: () => Date.now() + 3_600_000 })).toBe(0);
  expect(await expire({ isLeading: () => false })).toBe(0);
  expect(announced).toEqual([]);
});
