// The commands of a client, run as people run them, against a running service.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text as textOf } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { verifyHomechef } from '../../src/security/signature.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';

const launcher = fileURLToPath(new URL('../../src/cli/launch.mjs', import.meta.url));
const USER = 'user123';

let service: TestApp;
let database: TestDatabase;
let receiver: Receiver;
let local: Receiver;
let developer: Rest;
let webhook: { id: string; secret: string };
let port: number;
const running: { kill(signal: NodeJS.Signals): unknown }[] = [];

beforeAll(async () => {
  [receiver, local, database, port] = await Promise.all([startReceiver(), startReceiver(), createTestDatabase(), freePort()]);
  await startService();
  developer = await service.as(USER);
  const created = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url('/public'),
    events: ['order.created'],
    retry_policy: { max_retries: 0 },
  });
  webhook = created.body;
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});
afterAll(async () => {
  await service.close();
  await Promise.all([receiver.close(), local.close(), database.drop()]);
});

// Always at the same address, so that a command finds it again.
async function startService(at = port): Promise<void> {
  const secretKeys = `k1:${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;
  service = await startApp({ database, env: { SERVER_PORT: String(at), WEBHOOK_SECRET_KEYS: secretKeys } });
}

const env = () => ({ PATH: process.env['PATH'] ?? '', HOMECHEF_URL: service.http });

/** To its end. */
async function run(...args: string[]) {
  const child = spawn(process.execPath, [launcher, ...args], { env: env() });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => output.push(data.toString()));
  const [status] = (await once(child, 'close')) as [number];
  return { status, output: output.join('') };
}

/** Until it is stopped. */
/** A busy machine takes seconds to start a command. */
const LINE_DEADLINE_MS = 40_000;

function start(...args: string[]) {
  const child = spawn(process.execPath, [launcher, ...args], { env: env() });
  running.push(child);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', (line) => lines.push(line));
  const line = (pattern: RegExp) =>
    eventually(() => lines.find((text) => pattern.test(text)), {
      what: `${pattern} in\n${lines.join('\n')}`,
      deadlineMs: LINE_DEADLINE_MS,
    });
  return { child, lines, line };
}

test('listen needs no webhook and no public URL: each event is forwarded, signed with the secret that it shows', async () => {
  const user = 'without-webhook';
  const { child, line, lines } = start('listen', '--forward', local.url('/own'), '--user', user, '--event', 'order.*');
  const secret = /whsec_\S+/.exec(await line(/^Requests are signed with this session's secret: /))?.[0] ?? '';
  await line(/^Listening on \S+ for your events, forwarding to /);
  const published = await run(
    'publish',
    'order.created',
    '--to',
    user,
    '--user',
    'orders',
    '--data',
    '{"note":"größer als <€>"}',
  );
  expect(published.output).toMatch(/^event_\S+ {2}goes to 0 webhooks\n$/);
  await line(/order\.created\s+delivery_\S+ {2}→ 200 .*\d+ ms$/);
  const [forwarded] = local.at('/own');
  const { headers = {}, body = Buffer.alloc(0) } = forwarded ?? {};
  expect(() => new Webhook(secret).verify(body.toString(), headers)).not.toThrow();
  expect(verifyHomechef(secret, headers['x-homechef-signature'], body)).toBe(true);
  expect(headers).toMatchObject({
    'x-homechef-event': 'order.created',
    'x-homechef-attempt': '1',
    'x-homechef-schema-version': '1',
  });
  expect(JSON.parse(body.toString())).toMatchObject({ data: { note: 'größer als <€>' }, delivery_id: headers['webhook-id'] });
  child.kill('SIGINT');
  expect((await once(child, 'exit'))[0]).toBe(0);
  expect(lines.filter((text) => text.includes('delivery_'))).toHaveLength(1);
  expect((await (await service.as(user))('GET', '/api/v1/webhooks')).body.webhooks).toEqual([]);
}, 90_000);

test('listen without --forward prints each body', async () => {
  const user = 'reader';
  const { line } = start('listen', '--user', user);
  await line(/^Listening on \S+ for your events\. Ctrl-C ends it\.$/);
  await run('publish', 'order.created', '--to', user, '--user', 'orders', '--data', '{"note":"seen"}');
  await line(/order\.created\s+delivery_\S+$/);
  await line(/^\{"event":"order\.created","data":\{"note":"seen"\}/);
}, 90_000);

test('listen survives a restart of the service, and forwards what was published meanwhile, once', async () => {
  const user = 'patient';
  const { line, lines } = start('listen', '--forward', local.url('/patient'), '--user', user);
  await line(/^Listening/);
  const at = new URL(service.http).port;
  await run('publish', 'order.created', '--to', user, '--user', 'orders', '--data', '{"n":1}');
  await local.waitFor(() => local.at('/patient').length === 1);
  await service.close();
  await line(/trying again in/);
  await startService(Number(at));
  await run('publish', 'order.created', '--to', user, '--user', 'orders', '--data', '{"n":2}');
  await eventually(() => lines.filter((text) => text.startsWith('Listening')).length === 2, {
    what: 'it is back',
    deadlineMs: LINE_DEADLINE_MS,
  });
  await run('publish', 'order.created', '--to', user, '--user', 'orders', '--data', '{"n":3}');
  await local.waitFor(() => local.at('/patient').length === 3);
  expect(local.at('/patient').map(({ body }) => JSON.parse(body.toString()).data.n)).toEqual([1, 2, 3]);
}, 120_000);

test('listen --webhook forwards what a webhook got with the original body, freshly signed with its secret, and ends at Ctrl-C', async () => {
  const asUser = ['--user', USER, '--secret', webhook.secret];
  const { child, line } = start('listen', '--webhook', webhook.id, '--forward', local.url('/hook'), ...asUser);
  await line(/^Listening/);
  expect(
    (await run('publish', 'order.created', '--to', USER, '--user', 'orders', '--data', '{"note":"größer als <€>"}')).output,
  ).toMatch(/^event_\S+ {2}goes to 1 webhooks\n$/);
  await local.waitFor(() => local.at('/hook').length === 1);
  const [original, forwarded] = [receiver.at('/public').at(-1), local.at('/hook').at(-1)];
  expect(forwarded?.body.equals(original?.body ?? Buffer.alloc(0))).toBe(true);
  const headers = forwarded?.headers ?? {};
  expect(() => new Webhook(webhook.secret).verify(forwarded?.body.toString() ?? '', headers)).not.toThrow();
  expect(verifyHomechef(webhook.secret, headers['x-homechef-signature'], forwarded?.body ?? '')).toBe(true);
  for (const name of [
    'content-type',
    'x-homechef-event',
    'x-homechef-delivery',
    'x-homechef-attempt',
    'webhook-id',
    'user-agent',
  ]) {
    expect(headers[name]).toBe(original?.headers[name]);
  }
  await line(/order\.created\s+delivery_\S+ {2}\(delivered\) {2}→ 200 .*\d+ ms$/);
  child.kill('SIGINT');
  expect((await once(child, 'exit'))[0]).toBe(0);
});

test('what the service refuses is one line on standard error that begins with the reason, and ends with 1', async () => {
  const child = spawn(process.execPath, [launcher, 'retry', 'delivery_00000000000000000000000000', '--user', USER], {
    env: env(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [printed, complaint, [status]] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  expect(complaint).toMatch(/^not_found: There is no such delivery\. \(request \S+\)\n$/);
  expect([printed, status]).toEqual(['', 1]);
});

test('a command that was given the port of gRPC ends, and says in one line which one to give', async () => {
  const [watching, listening, ...calls] = await Promise.all(
    [
      ['watch'],
      ['listen', '--forward', local.url('/none'), '--secret', webhook.secret],
      ['publish', 'order.created', '--to', USER, '--data', '{}'],
      ['trigger', 'order.created'],
      ['retry', 'delivery_00000000000000000000000000'],
      ['cancel', 'delivery_00000000000000000000000000'],
    ].map((args) => run(...args, '--url', `http://${service.grpc}`, '--user', USER)),
  );
  // The server hangs up on what it takes for noise. Who comes back reads sooner or later what it said before.
  for (const followed of [watching, listening])
    expect(followed).toEqual({
      status: 2,
      output: expect.stringMatching(/(?:^|\n)field_invalid: --url: what listens there does not speak HTTP\/1\.1; .*\n$/),
    });
  for (const { status, output } of calls) {
    expect(status).toBeGreaterThan(0);
    expect(output).toMatch(/^[^\n]* give SERVER_PORT \(8080 by default\)[^\n]*\n$/);
  }
}, 90_000);

// util-linux's `script` gives a command a terminal; that of other systems takes other arguments.
describe.skipIf(process.platform !== 'linux')('on a terminal', () => {
  /** What `watch` draws for a delivery that was delivered. */
  async function drawn(settings: Record<string, string>): Promise<string> {
    const command = `stty cols 200 rows 40; exec '${process.execPath}' '${launcher}' watch --user ${USER}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...env(), SHELL: '/bin/sh', ...settings } });
    running.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
    await eventually(() => /\bconnected/.test(output), { what: 'watch is connected', deadlineMs: LINE_DEADLINE_MS });
    const published = await run('publish', 'order.created', '--to', USER, '--user', 'orders', '--data', '{}');
    expect(published.status).toBe(0);
    await eventually(() => / delivered +200 /.test(output), { what: 'a delivered row', deadlineMs: LINE_DEADLINE_MS });
    return output;
  }

  test('watch draws a table in colours', async () => {
    const output = await drawn({ TERM: 'xterm-256color' });
    expect(output).toContain('\x1b[?1049h');
    expect(output).toContain('\x1b[32m');
  }, 90_000);

  test('watch uses no colour under NO_COLOR', async () => {
    const output = await drawn({ TERM: 'xterm-256color', NO_COLOR: '1' });
    expect(output).toContain('\x1b[?1049h');
    for (const colour of ['\x1b[32m', '\x1b[0m']) expect(output).not.toContain(colour);
  }, 90_000);

  test('watch sends a dumb terminal lines, and nothing that it would have to obey', async () => {
    expect(await drawn({ TERM: 'dumb' })).not.toContain('\x1b');
  }, 90_000);
});

test('listen goes on where it was after the service was away, each delivery once', async () => {
  const before = local.at('/again').length;
  const { line, lines } = start('listen', '--forward', local.url('/again'), '--user', USER);
  const secret = /whsec_\S+/.exec(await line(/whsec_/))?.[0] ?? '';
  await line(/^Listening/);
  await run('publish', 'order.created', '--to', USER, '--user', 'orders');
  await local.waitFor(() => local.at('/again').length === before + 1);
  await service.close();
  await line(/trying again/);
  // Elsewhere, so that the command is not connected while this happens.
  await startService(0);
  const received = receiver.at('/public').length;
  await run('publish', 'order.created', '--to', USER, '--user', 'orders');
  await receiver.waitFor(() => receiver.at('/public').length > received);
  await service.close();
  await startService();
  developer = await service.as(USER);
  await local.waitFor(() => local.at('/again').length === before + 2);
  await eventually(() => lines.filter((text) => text.startsWith('Listening')).length === 2);
  expect(new Set(local.at('/again').map(({ headers }) => headers['webhook-id'])).size).toBe(2);
  const { body, headers } = local.at('/again').at(-1) ?? { body: Buffer.alloc(0), headers: {} };
  expect(() => new Webhook(secret).verify(body.toString(), headers)).not.toThrow();
});

test('listen says so when no program listens, and when the handler fails', async () => {
  local.script('/broken', 500);
  const [nobody, broken] = [
    start('listen', '--forward', `http://127.0.0.1:${await freePort()}/`, '--user', USER),
    start('listen', '--forward', local.url('/broken'), '--user', USER),
  ];
  await Promise.all([nobody.line(/^Listening/), broken.line(/^Listening/)]);
  await run('publish', 'order.created', '--to', USER, '--user', 'orders');
  await nobody.line(/→ no program listens there$/);
  await broken.line(/→ 500 /);
});

test('trigger sends a sample and shows the answer; watch and listen see it; retry tries again', async () => {
  const watching = start('watch', '--user', USER);
  const listening = start('listen', '--webhook', webhook.id, '--forward', local.url('/sample'), '--user', USER);
  await Promise.all([watching.line(/connected/), listening.line(/^Listening/)]);
  receiver.script('/public', 200, 503, 200);
  const good = await run('trigger', 'order.created', '--user', USER);
  expect(good).toMatchObject({
    status: 0,
    output: expect.stringMatching(/^delivered {2}webhook_\S+ {2}HTTP 200 {2}\d+ ms {2}delivery_/),
  });
  const bad = await run('trigger', 'order.created', '--user', USER, '--webhook', webhook.id);
  expect(bad).toMatchObject({ status: 1, output: expect.stringContaining('HTTP 503') });
  await watching.line(/ failed +503 +1 +order\.created +delivery_/);
  await local.waitFor(() => local.at('/sample').length === 2, LINE_DEADLINE_MS);
  const failed = /delivery_\w+/.exec(bad.output)?.[0] ?? '';
  expect(await run('retry', failed, '--user', USER)).toMatchObject({
    status: 0,
    output: expect.stringContaining('attempt 2 is due now'),
  });
  await watching.line(new RegExp(`delivered +200 +2 +order\\.created +${failed}`));
}, 90_000);

test('trigger finds a webhook that is subscribed by a pattern; listen without a webhook shows the samples that pass its filter', async () => {
  const made = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/pattern'), events: ['tip.*'] });
  const [all, none] = [
    start('listen', '--filter', 'exists($)', '--user', USER),
    start('listen', '--filter', '$.no_such_field == 1', '--user', USER),
  ];
  await Promise.all([all.line(/^Listening/), none.line(/^Listening/)]);
  expect(await run('trigger', 'tip.received', '--user', USER)).toMatchObject({ status: 0 });
  await all.line(/ tip\.received +delivery_/);
  expect(none.lines.filter((line) => line.includes('tip.received'))).toEqual([]);
  await developer('DELETE', `/api/v1/webhooks/${made.body.id}`);
}, 90_000);

test('doctor says step by step how a receiver does, of a URL or of a webhook, and ends with 1 when nothing gets through', async () => {
  const url = receiver.url('/well');
  const good = await run('doctor', url, '--user', 'doctor1');
  expect(good).toMatchObject({ status: 0, output: expect.stringMatching(/^ok +url +The service accepts the URL\.$/m) });
  // A step of less than a millisecond shows no time.
  expect(good.output).toMatch(/^ok +ping +The receiver answered 200 to a signed ping\.( \(\d+ ms\))?$/m);
  // A webhook of its own: a retry of another test's delivery must not take the response that is meant for the ping.
  const { body } = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/ill'), events: ['order.completed'] });
  receiver.script('/ill', 500);
  const bad = await run('doctor', '--webhook', body.id, '--user', USER);
  expect(bad).toMatchObject({
    status: 1,
    output: expect.stringMatching(/^failed +ping +The receiver answered 500\..*\n {18}→ /m),
  });
  await developer('DELETE', `/api/v1/webhooks/${body.id}`);
});

test('explain names the rule that stopped an event, by its delivery or by itself', async () => {
  receiver.script('/public', 500);
  const sample = await run('trigger', 'order.created', '--user', USER, '--webhook', webhook.id);
  const deliveryId = /delivery_\w+/.exec(sample.output)?.[0] ?? '';
  expect(await run('explain', deliveryId, '--user', USER)).toMatchObject({
    status: 0,
    output: expect.stringMatching(
      /^ended: A test is not sent again\.[^]*^ {2}passed {8}active[^]*^ {2}stopped_here {2}retries_left/m,
    ),
  });
  const published = await run('publish', 'tip.received', '--to', USER, '--user', 'orders');
  const eventId = /event_\w+/.exec(published.output)?.[0] ?? '';
  expect(await run('explain', eventId, '--webhook', webhook.id, '--user', USER)).toMatchObject({
    status: 0,
    output: expect.stringMatching(/^not_owed: The event is tip\.received/),
  });
});

test('filter says whether a payload passes, and points at what is wrong with a filter', async () => {
  const asked = ['filter', webhook.id, '--user', USER];
  expect(await run(...asked, '--filter', '$.n > 1', '--data', '{"n":2}')).toEqual({ status: 0, output: 'match\n' });
  const { output } = await run('publish', 'tip.received', '--to', USER, '--user', 'orders', '--data', '{"n":1}');
  const eventId = /event_\w+/.exec(output)?.[0] ?? '';
  expect(await run(...asked, '--filter', '$.n > 1', '--event', eventId)).toEqual({ status: 1, output: 'no match\n' });
  expect(await run(...asked, '--filter', '$.n = 1', '--data', '{}')).toEqual({
    status: 1,
    output: 'no match\nat character 5: equality is written ==\n$.n = 1\n    ^\n',
  });
  expect(await run(...asked, '--filter', '$.n > 1')).toEqual({
    status: 2,
    output: 'field_invalid: Give --event or --data, and not both.\n',
  });
}, 90_000);

test('event-types lists the catalogue, and as an admin adds to it and changes it', async () => {
  const listed = await run('event-types', '--user', USER);
  expect(listed).toMatchObject({ status: 0, output: expect.stringMatching(/^order\.created {2}\w+ {2}schema 1, off\n {2}\S/) });
  const as = ['--user', 'operator'];
  const schema = '{"type":"object","properties":{"seats":{"type":"integer"}},"required":["seats"]}';
  const details = ['--description', 'A kitchen opened.', '--schema', schema, '--sample', '{"seats":12}', '--priority', 'low'];
  expect(await run('event-types', 'create', 'kitchen.opened', ...details, ...as)).toEqual({
    status: 0,
    output: 'kitchen.opened  low  schema 1, off\n  A kitchen opened.\n',
  });
  expect((await run('event-types', 'update', 'kitchen.opened', '--validation', 'strict', '--deprecated', ...as)).output).toBe(
    'kitchen.opened  low  schema 1, strict  deprecated\n  A kitchen opened.\n',
  );
  const narrower = ['update', 'kitchen.opened', '--schema', '{"type":"object"}', '--no-deprecated', ...as];
  expect(await run('event-types', ...narrower)).toMatchObject({ status: 1, output: expect.stringContaining('force') });
  expect((await run('event-types', ...narrower, '--force')).output).toContain('kitchen.opened  low  schema 2, strict\n');
  expect((await run('event-types', 'list', '--user', USER)).output).toContain('\nkitchen.opened  ');
  const refused = [
    ['create'],
    ['remove', 'kitchen.opened'],
    ['create', 'kitchen.closed', '--priority', 'urgent'],
    ['create', 'kitchen.closed', '--schema', '{'],
    ['create', 'kitchen.closed', '--sample', '[]'],
  ];
  for (const args of refused) expect(await run('event-types', ...args, ...as)).toMatchObject({ status: 2 });
}, 90_000);

test('service-keys prints the public keys of the service, and as an admin rotate-service-key makes a new one', async () => {
  expect((await run('service-keys', '--user', USER)).output).toContain('The service has no key yet');
  const as = ['--user', 'operator'];
  const { output } = await run('rotate-service-key', ...as);
  expect(output).toMatch(/^key_\w{26} {2}whpk_[\w+/=]{44}\n$/);
  const rotated = await run('rotate-service-key', '--overlap-hours', '2', ...as);
  expect(rotated.output).toMatch(/^key_\w{26} {2}whpk_\S{44}\nkey_\w{26} {2}whpk_\S{44} {2}until \S+Z\n$/);
  expect(rotated.output).toContain(output.trim());
  expect(await run('service-keys', '--user', USER)).toEqual({ status: 0, output: rotated.output });
  expect(await run('rotate-service-key', ...as)).toMatchObject({
    status: 1,
    output: expect.stringContaining('overlap_hours 0'),
  });
  expect(await run('rotate-service-key', '--overlap-hours', 'x', ...as)).toMatchObject({ status: 2 });
}, 90_000);

test('replay sends again what a webhook did not get, and says how that went', async () => {
  receiver.script('/replayed', 500, 200);
  const { body } = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url('/replayed'),
    events: ['order.cancelled'],
    retry_policy: { max_retries: 0 },
  });
  await run('publish', 'order.cancelled', '--to', USER, '--user', 'orders');
  const list = `/api/v1/webhooks/deliveries?webhook_id=${body.id}&status=failed`;
  await eventually(async () => (await developer('GET', list)).body.total === 1, { what: 'the failure' });
  const asked = ['replay', '--webhook', body.id, '--since', '2026-01-01T00:00:00Z', '--user', USER];
  expect(await run(...asked, '--dry-run')).toEqual({ status: 0, output: '1 deliveries match\n' });
  const { status, output } = await run(...asked, '--status', 'failed', '--rate', '100');
  expect(status).toBe(0);
  expect(output).toMatch(/^replay_\S+ {2}1 deliveries match, 100 a second\ncompleted: 1 sent, 1 delivered, 0 failed\n$/);
  const ofUser = ['replay', '--of-user', USER, '--since', '2026-01-01T00:00:00Z', '--status', 'delivered', '--user', 'root'];
  const many = await run(...ofUser, '--event-type', 'order.cancelled', '--dry-run');
  expect(many).toEqual({ status: 0, output: `${body.id}  1 deliveries match\n1 webhooks\n` });
  const begun = await run(...ofUser, '--event-type', 'order.cancelled', '--rate', '100');
  expect(begun.output).toMatch(new RegExp(`^${body.id}  replay_\\S+  1 deliveries match\n1 webhooks\n$`));
  expect((await run('replay', '--user', 'root')).status).toBe(2);
  const refused = await run('replay', '--webhook', body.id, '--status', 'pending', '--user', USER);
  expect(refused).toEqual({
    status: 2,
    output: 'field_invalid: --status: "pending" is none of failed, cancelled, delivered\n',
  });
});

test('attempts shows where each attempt went, the headers of both sides, and no secret', async () => {
  receiver.script('/attempted', 500, 200);
  const { body } = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url('/attempted'),
    events: ['tip.received'],
    custom_headers: { 'x-till': 'hunter2' },
    retry_policy: { max_retries: 1, retry_delay: 0.1 },
  });
  await run('publish', 'tip.received', '--to', USER, '--user', 'orders');
  const list = `/api/v1/webhooks/deliveries?webhook_id=${body.id}&status=delivered`;
  const delivered = await eventually(async () => (await developer('GET', list)).body.deliveries[0], { what: 'the delivery' });
  const { status, output } = await run('attempts', delivered.id, '--user', USER);
  expect(status).toBe(0);
  expect(output).toMatch(/^1 {2}\S+Z {2}automatic {2}The receiver answered 500\. {2}\d+ ms\n {2}to 127\.0\.0\.1\n/);
  expect(output).toMatch(/^2 {2}\S+Z {2}automatic {2}answered 200 {2}\d+ ms$/m);
  expect(output).toContain(`\n  > webhook-id: ${delivered.id}\n`);
  expect(output).toContain('\n  > x-till: ********\n');
  expect(output).toContain('\n  > webhook-signature: ********\n');
  expect(output.toLowerCase()).toContain('\n  < content-length: ');
  expect(output).not.toContain('hunter2');
  await developer('DELETE', `/api/v1/webhooks/${body.id}`);
});

test('history lists what was changed about a webhook, by whom, also once it is deleted', async () => {
  const { body } = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/changed'), events: ['order.completed'] });
  await developer('PATCH', `/api/v1/webhooks/${body.id}`, { rate_limit: 5, description: 'Till' });
  await developer('DELETE', `/api/v1/webhooks/${body.id}`);
  const { status, output } = await run('history', body.id, '--user', USER);
  expect(status).toBe(0);
  const lines = output.split('\n').map((line) => line.replace(/^\S+Z/, 'at'));
  expect(lines.slice(0, 6)).toEqual([
    `at  deleted             ${USER}`,
    '  is_active: true -> false',
    `at  updated             ${USER}`,
    '  description: "" -> "Till"',
    '  rate_limit: 0 -> 5',
    `at  created             ${USER}`,
  ]);
});

test('pause keeps what a webhook would get, and resume sends it', async () => {
  const { body } = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/paused'), events: ['order.completed'] });
  expect(await run('pause', body.id, '--user', USER)).toEqual({ status: 0, output: `${body.id}  paused, 0 held\n` });
  await run('publish', 'order.completed', '--to', USER, '--user', 'orders', '--data', '{}');
  const refused = await run('resume', body.id, '--rate', '0', '--user', USER);
  expect(refused).toMatchObject({ status: 1, output: expect.stringContaining('rate') });
  const resumed = await run('resume', body.id, '--rate', '100', '--user', USER);
  expect(resumed).toMatchObject({ status: 0, output: expect.stringMatching(/ {2}resumed, 1 held, sent by release_\S+\n$/) });
  await receiver.waitFor(() => receiver.at('/paused').length === 1);
  await developer('DELETE', `/api/v1/webhooks/${body.id}`);
});

test('what cannot be done is said in a line, without a stack', async () => {
  const failures = await Promise.all([
    run('retry', 'delivery_00000000000000000000000000', '--user', USER),
    run('trigger', 'tip.received', '--user', USER),
    run('listen', '--forward', local.url(), '--token', 'x.y.z'),
    run('listen', '--forward', local.url()),
    run('listen', '--forward', 'ftp://x', '--user', USER),
    run('listen', '--forward', local.url(), '--user', USER, '--secret', 'hunter2'),
    run('publish', 'order.created', '--user', 'orders', '--to', USER, '--data', '{'),
    run('watch', '--user', USER, '--status', 'lost'),
    run('doctor', '--user', USER),
    run('explain', 'event_00000000000000000000000000', '--user', USER),
    run('explain', 'order.created', '--user', USER),
    run('doctor', 'https://example.com/', '--webhook', webhook.id, '--user', USER),
    run('retry', 'delivery_x', '--user', USER, '--url', `http://127.0.0.1:${await freePort()}`),
  ]);
  for (const { status, output } of failures) {
    expect(status).toBeGreaterThan(0);
    expect(output).not.toMatch(/^ {4}at /m);
    expect(output.length).toBeGreaterThan(10);
  }
  expect(failures[0]?.output).toContain('There is no such delivery');
  expect(failures[5]?.output).not.toContain('hunter2');
}, 90_000);

test('every command explains itself', async () => {
  for (const command of [
    'listen',
    'watch',
    'trigger',
    'doctor',
    'explain',
    'filter',
    'history',
    'attempts',
    'retry',
    'cancel',
    'pause',
    'resume',
    'replay',
    'service-keys',
    'rotate-service-key',
    'event-types',
    'publish',
  ]) {
    expect(await run(command, '--help')).toMatchObject({ status: 0, output: expect.stringContaining(`Usage: ${command}`) });
  }
}, 90_000);

test('npx finds the command, and the launcher a Node that runs it, whatever Node the machine has', () => {
  // Without what npm puts on the path for its own scripts.
  const path = (process.env['PATH'] ?? '').split(':').filter((directory) => !directory.includes('node_modules'));
  const options = { encoding: 'utf8', env: { ...process.env, PATH: path.join(':') } } as const;
  const { stdout, status } = spawnSync('npx', ['homechef-webhooks', 'listen', '--help'], options);
  expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining('Usage: listen') });
});
