// Both schedules against one model: the same commands, the same answers.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { commands, newModel, type Real } from './model.ts';
import { insertRows } from './rows.ts';

/** Longer than a run, so that no living process loses a lease. */
const LEASE_MS = 600_000;
/** Over before the next command. */
const DYING_LEASE_MS = 1;
const RUNS = 25;
/** Each run is some hundred statements, on a machine that may be busy. */
const TIMEOUT_MS = 90_000;

/** Rejects with the shortest run that fails. */
async function holdAgainstModel(setup: () => Promise<Real>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(commands, async (run) => {
      const real = await setup();
      await fc.asyncModelRun(() => ({ model: newModel(), real }), run);
    }),
    { numRuns: RUNS },
  );
}

describe('the schedule in Redis', () => {
  const config = sharedTestRedis();
  const redis = new RedisConnection(config, () => undefined);
  let run = 0;
  beforeAll(() => redis.connect());
  afterAll(() => redis.close());

  test.each([1, 3])('behaves like the model, with %i shards', { timeout: TIMEOUT_MS }, async (shards) => {
    await holdAgainstModel(async () => {
      const keyPrefix = `${config.keyPrefix}${(run += 1)}:`;
      const alive = new RedisScheduler(redis, { keyPrefix, shards, leaseMs: LEASE_MS });
      await fill(alive);
      return {
        alive,
        dying: new RedisScheduler(redis, { keyPrefix, shards, leaseMs: DYING_LEASE_MS }),
        async past(serverMs) {
          await eventually(
            async () => {
              const [seconds, microseconds] = await redis.commands.time();
              return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) > serverMs;
            },
            { intervalMs: 1 },
          );
        },
        write: () => Promise.resolve(),
        finish: () => Promise.resolve(),
      };
    });
    expect(run).toBeGreaterThanOrEqual(RUNS);
  });
});

describe('the schedule in PostgreSQL', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  test('behaves like the model', { timeout: TIMEOUT_MS }, async () => {
    const { pool } = database;
    let runs = 0;
    await holdAgainstModel(async () => {
      runs += 1;
      await pool.query('truncate deliveries');
      return {
        alive: new PostgresScheduler(pool, { leaseMs: LEASE_MS }),
        dying: new PostgresScheduler(pool, { leaseMs: DYING_LEASE_MS }),
        async past(serverMs) {
          await eventually(
            async () => {
              const { rows } = await pool.query<{ past: boolean }>('select now() > to_timestamp($1::float8 / 1000) as past', [
                serverMs,
              ]);
              return rows[0]?.past;
            },
            { intervalMs: 1 },
          );
        },
        write: (items) => insertRows(pool, items),
        async finish(lease) {
          await pool.query(`update deliveries set status = 'delivered', next_attempt_at = null where id = $1`, [
            lease.deliveryId,
          ]);
        },
      };
    });
    expect(runs).toBeGreaterThanOrEqual(RUNS);
  });
});
