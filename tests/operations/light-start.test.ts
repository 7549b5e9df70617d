// What a process loads and keeps before it has anything to do.
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';

vi.setConfig({ testTimeout: 120_000 });

/** Resident, in MB; seen: 124 and 154 where nothing was in Node's cache of compiled code, 115 and 140 with it. */
const MAX_IDLE_MB = { worker: 150, all: 180 };
/** Prints the package of each module as it is loaded, and of ours the file. */
const PRINT_PACKAGES = `import { registerHooks } from 'node:module';
registerHooks({ load(url, context, next) {
  const name = /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1] ?? /src\\/.+/.exec(url)?.[0];
  if (name !== undefined) process.stdout.write('loads ' + name + '\\n');
  return next(url, context);
} });`;

let database: TestDatabase;
let running: ServiceProcess | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await running?.kill();
  running = undefined;
});
afterAll(() => database.drop());

async function start(role: 'worker' | 'all', more: Record<string, string> = {}): Promise<ServiceProcess> {
  running = await startProcess({ ...envOf(database.config, null), ENVIRONMENT: 'test', ROLE: role, ...more });
  return running;
}

async function loadedBy(role: 'worker' | 'all'): Promise<Set<string>> {
  const { lines } = await start(role, { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(PRINT_PACKAGES)}` });
  return new Set(lines.flatMap((line) => (line.startsWith('loads ') ? [line.slice('loads '.length)] : [])));
}

test('a worker on a migrated database loads neither the object mapper, nor what migrates, nor an HTTP client that nothing needs', async () => {
  const loaded = await loadedBy('worker');
  expect(loaded).toContain('pg');
  for (const name of loaded) expect(name).not.toMatch(/^@mikro-orm\/|^undici$|^src\/persistence\/migrate/);
});

test('whatever its role, a process on a migrated database loads neither what migrates nor compilers that nothing needs', async () => {
  const loaded = await loadedBy('all');
  expect(loaded).toContain('@mikro-orm/postgresql');
  expect(loaded).not.toContain('src/persistence/migrate.ts');
  // MikroORM looks for it by itself, unless it is built without looking.
  expect(loaded).not.toContain('@mikro-orm/migrations');
  // Fastify's, for schemas that no route has.
  expect(loaded).not.toContain('ajv');
});

test.each(['worker', 'all'] as const)('with ROLE=%s a process that has nothing to do stays small', async (role) => {
  const { pid } = await start(role);
  const residentMb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  expect(residentMb).toBeLessThan(MAX_IDLE_MB[role]);
});
