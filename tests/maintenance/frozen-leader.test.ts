// A leader that is frozen, by SIGSTOP or a hypervisor, is replaced, and does nothing as leader when it goes on.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';

/** The server ends a silent session after 10 s, and others look every 2 s. */
const REPLACED_WITHIN_MS = 15_000;

let database: TestDatabase;
const processes: ServiceProcess[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  for (const service of processes) await service.kill();
  await database.drop();
});

async function start(): Promise<ServiceProcess> {
  const service = await startProcess({
    ...envOf(database.config, null),
    ENVIRONMENT: 'test',
    LOG_LEVEL: 'warn',
    ROLE: 'worker',
    WEBHOOK_TIMEOUT: '1',
    WEBHOOK_LEASE: '3',
    WEBHOOK_RECONCILE_INTERVAL: '1',
  });
  processes.push(service);
  return service;
}

/** Only the leader measures the backlog. */
async function leads(service: ServiceProcess): Promise<boolean> {
  return /^queue_depth \d/m.test(await (await fetch(service.metrics)).text());
}

/** Changes each time that a leader moves the place of the insert lease expiry. */
async function adoptionVersion(): Promise<string> {
  const { rows } = await database.pool.query<{ version: string }>('select xmin::text as version from adoption');
  return rows[0]?.version ?? '';
}

/** Resolves when the server runs nothing for any process: a frozen one has sent its last statement before. */
async function quiet(): Promise<void> {
  await eventually(async () => {
    const { rowCount } = await database.pool.query(
      `select 1 from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()`,
    );
    return rowCount === 0;
  });
}

test('another process leads within fifteen seconds, and the frozen one changes nothing when it goes on', async () => {
  const first = await start();
  await eventually(() => leads(first), { deadlineMs: 20_000 });
  const second = await start();
  first.signal('SIGSTOP');
  const frozenAt = performance.now();
  await quiet();
  const before = await adoptionVersion();
  await eventually(async () => (await adoptionVersion()) !== before, { what: 'another leader', deadlineMs: 40_000 });
  expect(performance.now() - frozenAt).toBeLessThan(REPLACED_WITHIN_MS + 5000);
  // With the second one frozen too, whatever changes is the work of the first.
  second.signal('SIGSTOP');
  await quiet();
  const meanwhile = await adoptionVersion();
  first.signal('SIGCONT');
  // It looks for leadership again: by then every loop of its has asked whether it leads.
  await eventually(async () => (await fetch(first.metrics)).ok);
  await eventually(() => first.lines.some((line) => line.includes('leadership')), { what: 'a lost leadership' });
  expect(await adoptionVersion()).toBe(meanwhile);
  second.signal('SIGCONT');
}, 120_000);
