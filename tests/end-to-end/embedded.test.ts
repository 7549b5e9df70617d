// The service as `make run` starts it on a machine without a database: killed, stopped, started again, and as its welcome says.
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { spawnProcess, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';

// Starting a database cluster and a service takes three seconds, or thirty on a machine with other things to do.
vi.setConfig({ testTimeout: 120_000 });

const hasCurl = spawnSync('curl', ['--version']).status === 0;
let directory: string;
let receiver: Receiver;
let running: ServiceProcess[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'webhook-embedded-'));
  receiver = await startReceiver();
  running = [];
});
afterEach(async () => {
  for (const service of running) await service.kill();
  await endPostgres();
  await receiver.close();
  await rm(directory, { recursive: true, force: true });
});

/** A killed service leaves its PostgreSQL to the next one. */
async function endPostgres(): Promise<void> {
  const pid = await postmaster();
  if (pid === null) return;
  process.kill(pid, 'SIGQUIT');
  await eventually(async () => (await postmaster()) === null);
}

/** Null once it has ended, which it shows by taking its file away. */
async function postmaster(): Promise<number | null> {
  const text = await readFile(join(directory, '.data/postgres/postmaster.pid'), 'utf8').catch(() => null);
  return text === null ? null : Number(text.split('\n')[0]);
}

const embedded = (): Record<string, string> => ({
  DATA_DIR: join(directory, '.data'),
  WEBHOOK_TIMEOUT: '1',
  WEBHOOK_LEASE: '3',
  WEBHOOK_SHUTDOWN_GRACE: '3',
});

async function start(): Promise<ServiceProcess> {
  const service = await startProcess(embedded());
  running.push(service);
  return service;
}

test('a service killed during a retry delay delivers what was pending once it is started again', async () => {
  receiver.script('/later', 500, 200);
  const first = await start();
  const developer = await first.as('user123');
  await createWebhook(developer, receiver.url('/later'), { retry_policy: { max_retries: 3, retry_delay: 2 } });
  await publish(await first.as('orders', 'service'), ['user123']);
  await eventually(async () => (await developer('GET', '/api/v1/webhooks/deliveries?status=retrying')).body.total === 1);
  await first.kill();
  expect(receiver.at('/later')).toHaveLength(1);

  const second = await start();
  const restarted = await second.as('user123');
  const delivered = await eventually(
    async () => (await restarted('GET', '/api/v1/webhooks/deliveries?status=delivered')).body.deliveries[0],
    { deadlineMs: 15_000 },
  );
  expect(delivered).toMatchObject({ attempt_count: 2, http_status: 200 });
  expect(receiver.at('/later').map((request) => request.headers['webhook-id'])).toEqual([delivered.id, delivered.id]);
  expect(await second.stop()).toBe(0);
});

test.for(['SIGINT', 'SIGTERM'] as const)(
  '%s ends the service and its PostgreSQL, with exit code 0 and the data kept',
  async (signal) => {
    const first = await start();
    await createWebhook(await first.as('user123'), receiver.url(), { events: ['tip.received'] });
    expect(await postmaster()).not.toBeNull();
    first.signal(signal);
    expect(await first.exited).toBe(0);
    expect(await postmaster()).toBeNull();
    const second = await start();
    const { body } = await (await second.as('user123'))('GET', '/api/v1/webhooks');
    expect(body.webhooks.map((webhook: { events: string[] }) => webhook.events)).toEqual([['tip.received']]);
    expect(await second.stop()).toBe(0);
  },
);

test('Ctrl-C under npm, which passes on what the terminal sent already, still lets a request in flight end', async () => {
  const service = await start();
  const developer = await service.as('user123');
  await createWebhook(developer, receiver.url('/slow?ms=800'));
  await publish(await service.as('orders', 'service'), ['user123']);
  await receiver.waitFor(() => receiver.at('/slow').length === 1);
  service.signal('SIGINT');
  // Apart, as npm's is: two that come together are one to the kernel.
  await new Promise((resolve) => setTimeout(resolve, 50));
  service.signal('SIGINT');
  expect(await service.exited).toBe(0);
  const again = await start();
  const { body } = await (await again.as('user123'))('GET', '/api/v1/webhooks/deliveries');
  expect(body.deliveries).toMatchObject([{ status: 'delivered', attempt_count: 1 }]);
  expect(await again.stop()).toBe(0);
  expect(receiver.at('/slow')).toHaveLength(1);
});

test('a second service on the same data says so in one line', async () => {
  await start();
  const second = await spawnProcess(embedded());
  expect(await second.exited).toBe(1);
  expect(second.lines).toHaveLength(1);
  expect(second.lines[0]).toContain(`DATA_DIR ${join(directory, '.data')} is in use by another service`);
});

test.skipIf(!hasCurl)('the commands that the service prints work as they are printed', async () => {
  const service = await start();
  const printed = await eventually(() => {
    const text = service.lines.join('\n');
    return text.includes('npm run demo') ? text : null;
  });
  const commands = [...printed.matchAll(/^ {2}curl (?:.*\\\n)*.*$/gm)].map((match) => match[0]);
  expect(commands).toHaveLength(3);
  const answers = commands.map((command) => JSON.parse(execFileSync('sh', ['-c', command], { encoding: 'utf8' })));
  expect(answers[0]).toMatchObject({ user_id: 'user123', events: ['order.created'] });
  expect(answers[0].secret).toMatch(/^whsec_/);
  expect(answers[1]).toMatchObject({ deliveries: 1, duplicate: false });
  expect(answers[2].deliveries).toMatchObject([{ event_type: 'order.created', webhook_id: answers[0].id }]);
});

test.skipIf(!hasCurl)('the commands of README work as they are printed', async () => {
  const service = await start();
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const use = readme.slice(readme.indexOf('\n## Use'), readme.indexOf('\n## Watch live'));
  const blocks = [...use.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? '');
  const calls = blocks.join('').match(/^curl /gm)?.length ?? 0;
  expect(calls).toBeGreaterThanOrEqual(12);
  // An answer other than 2xx ends the script; each answer ends with a line of its own to be counted.
  const strict = `set -eu\ncurl() { command curl -sS --fail-with-body "$@"; echo; echo answered >&2; }\n`;
  const script = strict + blocks.join('\n').replaceAll('http://localhost:8080', service.http);
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const env = { PATH: process.env['PATH'] };
  const { stderr } = await promisify(execFile)('sh', ['-c', script], { cwd: root, env });
  // Two more that fill in variables.
  expect(stderr.match(/^answered$/gm)).toHaveLength(calls + 2);
});

test('npm run demo shows the whole story and leaves nothing behind', async () => {
  const service = await start();
  const demo = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url));
  const env = {
    PATH: process.env['PATH'],
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: new URL(service.http).port,
    GRPC_PORT: service.grpc.split(':')[1],
  };
  const { stdout } = await promisify(execFile)(process.execPath, [demo], { env });
  expect(stdout).toContain('5 events published, 5 delivered; 8 requests, 3 of them answered 503');
  expect(stdout).toContain('8 of 8 carried two good signatures');
  const admin = await service.as('root', 'admin');
  expect((await admin('GET', '/api/v1/webhooks')).body.webhooks).toEqual([]);
});
