// dist/service, which `npm start` and the image run: the same program as the sources.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { buildBundle } from '../../src/tools/bundle.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const run = promisify(execFile);

let database: TestDatabase;
let redis: TestRedis;
let running: ServiceProcess | undefined;

beforeAll(async () => {
  [database, redis] = await Promise.all([createTestDatabase(), createTestRedis()]);
  await buildBundle({ force: false });
});
afterEach(async () => {
  await running?.kill();
  running = undefined;
});
afterAll(async () => {
  await redis.close();
  await database.drop();
});

test('it migrates an empty database, serves calls and pages, schedules in Redis, and stops in good order', async () => {
  running = await startProcess({ ...envOf(database.config, redis.config), ENVIRONMENT: 'test', WITH: 'npm' });
  const user = await running.as('chef');
  const created = await user('POST', '/api/v1/webhooks', { url: 'https://receiver.example/hook', events: ['order.created'] });
  expect(created.status).toBe(201);
  const publisher = await running.as('orders', 'service');
  const event = { event_type: 'order.created', data: {}, audience: { user_ids: ['chef'] } };
  expect(await publisher('POST', '/api/v1/events', event)).toMatchObject({ status: 202, body: { deliveries: 1 } });
  for (const path of ['/', '/docs', '/openapi.json'])
    expect([path, (await fetch(running.http + path)).status]).toEqual([path, 200]);
  expect(await running.stop()).toBe(0);
});

test('an error names the line of our TypeScript', async () => {
  const program = `const { createApp } = await import('./dist/service/app.js'); await createApp({}).catch(({ stack }) => console.log(stack));`;
  const { stdout } = await run(process.execPath, ['--enable-source-maps', '--input-type=module', '-e', program]);
  const [, file = '', line = '0'] = /(src\/telemetry\/[\w-]+\.ts):(\d+)/.exec(stdout) ?? [];
  expect([stdout, file]).toEqual([stdout, expect.stringMatching(/^src\//)]);
  expect(readFileSync(file, 'utf8').split('\n')[Number(line) - 1]).toMatch(/\bpino\(/);
});

test('all but the start itself loads without starting anything, as the image does to compile it', async () => {
  const [, program = ''] = /^RUN \["node", "-e", "(.+)"\]$/m.exec(readFileSync('Dockerfile', 'utf8')) ?? [];
  expect(program).toContain('dist/service');
  const { stdout, stderr } = await run(process.execPath, ['-e', program.replace('/app/', `${process.cwd()}/`)]);
  expect(stdout + stderr).toBe('');
});

test('loading the service does not load the HTTP client that is built into Node, nor ask which files made the log', async () => {
  const program = `await import('./dist/service/app.js'); console.log(process.moduleLoadList.filter((name) => name.includes('undici')).join());`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout.trim()).toBe('');
  const files = readdirSync('dist/service').filter((file) => file.endsWith('.js'));
  for (const file of files) expect(readFileSync(`dist/service/${file}`, 'utf8')).not.toContain('getCallSites');
});
