// What the leader does with what came of a probe.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Prober } from '../../src/delivery/prober.ts';
import { Probes } from '../../src/maintenance/probes.ts';
import { Hold } from '../../src/persistence/delivery-state.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate webhook_endpoints, releases, webhook_changes');
});

/** A webhook that was paused for failing, by a process that knows no probes. */
async function insertPaused(rateLimit: number): Promise<void> {
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, rate_limit, hold, paused_reason, paused_at)
     values ('webhook_1', 'alice', 'https://example.org/', '["order.created"]', 's', 'hint', $1, ${Hold.paused}, 'failing', now())`,
    [rateLimit],
  );
}

test.each([
  ['its own rate limit', 5, 5],
  ['the usual pace where it has none', 0, 50],
])('a webhook that no probe was set for is probed all the same, and comes back at %s', async (_, rateLimit, rate) => {
  await insertPaused(rateLimit);
  const back: string[] = [];
  const errors: unknown[] = [];
  const probe: Prober = () => Promise.resolve({ result: 'succeeded', revision: 1, rateLimit });
  const probes = new Probes({
    pool: database.pool,
    probe,
    intervalMs: 50,
    days: 7,
    isLeading: () => true,
    onProbed: () => undefined,
    onBack: ({ how }) => back.push(how),
    onGone: () => undefined,
    onEnded: () => undefined,
    onError: (error) => errors.push(error),
  });
  await probes.start();
  await eventually(() => back.length > 0);
  await probes.drain();
  expect({ back, errors }).toEqual({ back: ['resumed'], errors: [] });
  expect((await database.pool.query('select kind, rate from releases')).rows).toEqual([{ kind: 'resume', rate }]);
});
