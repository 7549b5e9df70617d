// Calls that are repeated with an idempotency key: done once, answered alike, on every protocol; another request under the same key is refused.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EventService, type PublishEventRequestSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { MAX_KEYS_OF_DEVELOPER } from '../../src/service/idempotent-call.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';

let receiver: Receiver;
let service: TestApp;
let alice: Rest;
let publisher: Rest;
beforeAll(async () => {
  receiver = await startReceiver();
  service = await startApp({ env: { MAX_WEBHOOKS_PER_USER: '20' } });
  alice = await service.as('alice');
  publisher = await service.as('orders', 'service');
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const keyed = (key: string) => ({ 'Idempotency-Key': key });
const webhook = (path = '/') => ({ url: receiver.url(path), events: ['order.created'] });
const count = async (table: string, where = 'true'): Promise<number> => {
  const { rows } = await service.database.pool.query<{ n: number }>(
    `select count(*)::integer as n from ${table} where ${where}`,
  );
  return rows[0]?.n ?? -1;
};
const made = async (): Promise<string> => {
  const { status, body } = await alice('POST', '/api/v1/webhooks', webhook());
  expect(status).toBe(201);
  return body.id as string;
};

test('a webhook is created once, and its first answer comes again with the secret', async () => {
  const first = await alice(
    'POST',
    '/api/v1/webhooks',
    { ...webhook(), custom_headers: { 'X-A': '1', 'X-B': '2' } },
    keyed('create'),
  );
  const before = await count('webhook_endpoints');
  // What a client writes in another order is the same request.
  const again = await alice(
    'POST',
    '/api/v1/webhooks',
    { custom_headers: { 'X-B': '2', 'X-A': '1' }, ...webhook() },
    keyed('create'),
  );
  expect([again.status, again.body, again.headers.get('location')]).toEqual([201, first.body, first.headers.get('location')]);
  expect(first.body.secret).toMatch(/^whsec_/);
  expect(await count('webhook_endpoints')).toBe(before);
  const other = await alice('POST', '/api/v1/webhooks', webhook('/other'), keyed('create'));
  expect([other.status, other.body.error.reason, other.body.error.details[0].field]).toEqual([
    409,
    'idempotency_key_reused',
    'idempotency_key',
  ]);
  expect(await count('webhook_endpoints')).toBe(before);
});

test('the secret of a stored answer is nowhere in the database as it is', async () => {
  const { body } = await alice('POST', '/api/v1/webhooks', webhook(), keyed('sealed'));
  const { rows } = await service.database.pool.query<{ row: string; answer: string; hash: string | null }>(
    `select c::text as row, answer, request_hash as hash from idempotent_calls c where key = 'sealed'`,
  );
  const [stored] = rows;
  expect(stored?.answer).toMatch(/^v1:/);
  expect(stored?.hash).toBe(null);
  const secret = String(body.secret).slice('whsec_'.length);
  for (const form of [secret, Buffer.from(String(body.secret)).toString('base64')]) expect(stored?.row).not.toContain(form);
});

test('of ten calls at once with one key, one is carried out and all are answered alike', async () => {
  const id = await made();
  const calls = await Promise.all(
    Array.from({ length: 10 }, () =>
      alice('POST', `/api/v1/webhooks/${id}/rotate-secret`, { overlap_hours: 5 }, keyed('at once')),
    ),
  );
  expect(new Set(calls.map(({ status, body }) => `${status} ${body.secret}`)).size).toBe(1);
  expect(calls[0]?.status).toBe(200);
  const { body } = await alice('GET', `/api/v1/webhooks/${id}/secret`);
  expect([body.secret, body.previous.length]).toEqual([calls[0]?.body.secret, 1]);
});

test('a rotation that is repeated rotates once; completing and taking back answer the same', async () => {
  const id = await made();
  const post = (path: string, key: string) => alice('POST', `/api/v1/webhooks/${id}/${path}`, {}, keyed(key));
  const first = await post('rotate-secret', 'r');
  expect((await post('rotate-secret', 'r')).body).toEqual(first.body);
  const cancelled = await post('rotate-secret/cancel', 'r');
  // The same key for another call is another call; without it, there is nothing to take back any more.
  expect([cancelled.status, (await post('rotate-secret/cancel', 'r')).body]).toEqual([200, cancelled.body]);
  expect((await post('rotate-secret/cancel', 'new')).body.error.reason).toBe('rotation_not_running');
  const completed = await post('rotate-secret/complete', 'r');
  expect([completed.status, (await post('rotate-secret/complete', 'r')).body]).toEqual([200, completed.body]);
  // The webhook is part of the request.
  const other = await alice('POST', `/api/v1/webhooks/${await made()}/rotate-secret`, {}, keyed('r'));
  expect(other.body.error.reason).toBe('idempotency_key_reused');
});

test('a call that was refused leaves its key free', async () => {
  const id = await made();
  const cancel = () => alice('POST', `/api/v1/webhooks/${id}/rotate-secret/cancel`, {}, keyed('refused'));
  expect((await cancel()).status).toBe(409);
  await alice('POST', `/api/v1/webhooks/${id}/rotate-secret`, {});
  expect((await cancel()).status).toBe(200);
});

test('a sample is sent once; repeated meanwhile it is refused, and asked to come again', async () => {
  const { body } = await alice('POST', '/api/v1/webhooks', webhook('/sample'));
  receiver.script('/sample', { status: 200, body: 'one', delayMs: 500 });
  const send = () => alice('POST', `/api/v1/webhooks/${body.id}/test`, {}, keyed('sample'));
  const first = send();
  await receiver.waitFor(() => receiver.at('/sample').length === 1);
  const meanwhile = await send();
  expect([meanwhile.status, meanwhile.body.error.reason, meanwhile.headers.get('retry-after')]).toEqual([
    409,
    'idempotency_key_in_use',
    '1',
  ]);
  expect((await send()).body.error?.reason ?? 'idempotency_key_in_use').toBe('idempotency_key_in_use');
  const answer = await first;
  expect([answer.body.success, answer.body.attempt.response]).toEqual([true, 'one']);
  expect((await send()).body).toEqual(answer.body);
  expect(receiver.at('/sample')).toHaveLength(1);
});

test('a sample that could not be sent leaves its key free', async () => {
  const id = await made();
  const send = (body: object) => alice('POST', `/api/v1/webhooks/${id}/test`, body, keyed('unknown'));
  expect((await send({ event_type: 'order.eaten' })).body.error.reason).toBe('event_type_unknown');
  expect((await send({})).status).toBe(200);
});

test('a retry by hand that is repeated is one attempt', async () => {
  const { body } = await alice('POST', '/api/v1/webhooks', webhook('/retried'));
  const { body: sample } = await alice('POST', `/api/v1/webhooks/${body.id}/test`, {});
  const retry = () => alice('POST', `/api/v1/webhooks/deliveries/${sample.delivery_id}/retry`, {}, keyed('retry'));
  const first = await retry();
  expect(first.status).toBe(202);
  await receiver.waitFor(() => receiver.at('/retried').length === 2);
  const again = await retry();
  expect([again.status, again.body]).toEqual([202, first.body]);
  // The outcome is written a moment after the receiver has answered.
  await eventually(async () => {
    const { body: delivery } = await alice('GET', `/api/v1/webhooks/deliveries/${sample.delivery_id}`);
    return delivery.status === 'delivered' && delivery.attempts.length === 2;
  });
});

const event = (order: string, more = {}) => ({
  event_type: 'order.created',
  data: { order },
  audience: { user_ids: ['nobody'] },
  ...more,
});

test('a batch that is repeated publishes nothing twice; a longer, shorter or other one under its key is refused and publishes nothing', async () => {
  const publish = (events: object[]) => publisher('POST', '/api/v1/events/batch', { events }, keyed('batch'));
  const batch = [event('1'), event('2', { idempotency_key: 'own' }), { event_type: 'order.eaten' }];
  const first = await publish(batch);
  expect([first.status, first.body.accepted, first.body.rejected]).toEqual([202, 2, 1]);
  const before = await count('events');
  const ids = (body: { results: { published?: { event_id: string }; error?: { reason: string } }[] }) =>
    body.results.map(({ published, error }) => published?.event_id ?? error?.reason);
  const again = await publish(batch);
  expect([again.status, ids(again.body)]).toEqual([202, ids(first.body)]);
  expect(again.body.results[0].published.duplicate).toBe(true);
  for (const other of [
    batch.slice(0, 2),
    [...batch, event('4')],
    [event('5'), ...batch.slice(1)],
    [batch[1]!, batch[0]!, batch[2]!],
  ]) {
    const { status, body } = await publish(other);
    expect([status, body.error.reason]).toEqual([409, 'idempotency_key_reused']);
  }
  expect(await count('events')).toBe(before);
});

test('of a batch that stopped half way, the rest is published when it is repeated', async () => {
  const batch = { events: [event('a'), event('b')] };
  const first = await publisher('POST', '/api/v1/events/batch', batch, keyed('half'));
  // As after a process that died between the two commits.
  await service.database.pool.query('delete from idempotency_keys where event_id = $1', [
    first.body.results[1].published.event_id,
  ]);
  const again = await publisher('POST', '/api/v1/events/batch', batch, keyed('half'));
  expect(again.body.results.map(({ published }: any) => published.duplicate)).toEqual([true, false]);
});

test('the header and the field are the same over gRPC and Connect, and a key of one protocol is known on the others', async () => {
  const token = await service.token('bob');
  const transports = [
    createGrpcTransport({ baseUrl: `http://${service.grpc}` }),
    createConnectTransport({ baseUrl: service.http, httpVersion: '1.1' }),
    createConnectTransport({ baseUrl: service.http, httpVersion: '1.1', useBinaryFormat: true }),
  ];
  const authorization = { authorization: `Bearer ${token}` };
  const ids = new Set<string>();
  for (const transport of transports) {
    const client = createClient(WebhookService, transport);
    ids.add((await client.createWebhook({ ...webhook('/bob'), idempotencyKey: 'same' }, { headers: authorization })).id);
    ids.add((await client.createWebhook(webhook('/bob'), { headers: { ...authorization, ...keyed('same') } })).id);
    const both = client.createWebhook(
      { ...webhook('/bob'), idempotencyKey: 'one' },
      { headers: { ...authorization, ...keyed('two') } },
    );
    expect(ConnectError.from(await both.catch((error: unknown) => error)).code).toBe(Code.InvalidArgument);
    const other = client.createWebhook({ ...webhook('/else'), idempotencyKey: 'same' }, { headers: authorization });
    expect(ConnectError.from(await other.catch((error: unknown) => error)).code).toBe(Code.AlreadyExists);
  }
  const { body } = await restClient(service.http, token)('POST', '/api/v1/webhooks', webhook('/bob'), keyed('same'));
  expect([...ids]).toEqual([body.id]);
});

test('publishing takes the header on every protocol, and a stream refuses it', async () => {
  const headers = { authorization: `Bearer ${await service.token('orders', 'service')}`, ...keyed('published') };
  const grpc = createClient(EventService, createGrpcTransport({ baseUrl: `http://${service.grpc}` }));
  const request = {
    eventType: 'order.created',
    payload: { case: 'data' as const, value: { order: 'x' } },
    audience: { userIds: ['nobody'] },
  } satisfies MessageInitShape<typeof PublishEventRequestSchema>;
  const first = await grpc.publishEvent(request, { headers });
  const again = await grpc.publishEvent(request, { headers });
  expect([again.eventId, again.duplicate]).toEqual([first.eventId, true]);
  const stream = async () => {
    for await (const _ of grpc.publishStream(
      (async function* () {
        yield { event: request };
      })(),
      { headers },
    ))
      break;
  };
  expect(ConnectError.from(await stream().catch((error: unknown) => error)).code).toBe(Code.InvalidArgument);
});

test('keys are the caller’s own', async () => {
  const carol = await service.as('carol');
  const hers = await carol('POST', '/api/v1/webhooks', webhook(), keyed('create'));
  expect(hers.status).toBe(201);
  // Nor does a key give a role back: a reply to an admin is not sent to the developer of the same name.
  const root = await service.as('carol', 'admin');
  const answer = await root('POST', '/api/v1/webhooks', webhook(), keyed('create'));
  expect(answer.body.error.reason).toBe('idempotency_key_reused');
});

test('a key that has expired is free', async () => {
  const id = await made();
  const rotate = () => alice('POST', `/api/v1/webhooks/${id}/rotate-secret`, {}, keyed('old'));
  const first = await rotate();
  await service.database.pool.query(`update idempotent_calls set expires_at = now() - interval '1 second' where key = 'old'`);
  expect((await rotate()).body.secret).not.toBe(first.body.secret);
});

test('a developer’s keys are so many at most, and calls without one go on', async () => {
  const dave = await service.as('dave');
  const first = await dave('POST', '/api/v1/webhooks', webhook(), keyed('first'));
  await service.database.pool.query(
    `insert into idempotent_calls (caller, method, key, expires_at)
     select 'dave', 'RetryDelivery', n::text, now() + interval '1 hour' from generate_series(1, $1) n`,
    [MAX_KEYS_OF_DEVELOPER - 1],
  );
  const refused = await dave('POST', '/api/v1/webhooks', webhook(), keyed('one more'));
  expect([refused.status, refused.body.error.reason]).toEqual([429, 'idempotency_limit_reached']);
  expect((await dave('POST', '/api/v1/webhooks', webhook(), keyed('first'))).body).toEqual(first.body);
  expect((await dave('POST', '/api/v1/webhooks', webhook())).status).toBe(201);
});

/** They change nothing: repeated, they look again. */
const NOTHING_TO_REPEAT = [
  '/api/v1/webhooks/diagnose',
  '/api/v1/webhooks/{webhook_id}/diagnose',
  '/api/v1/webhooks/{webhook_id}/filter/test',
];

test('every POST of the reference that changes anything takes the header', async () => {
  const document = (await (await fetch(`${service.http}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { parameters?: { $ref?: string }[] }>>;
  };
  const without = Object.entries(document.paths)
    .filter(([path, { post }]) => path.startsWith('/api/') && post !== undefined)
    .filter(([, { post }]) => !post?.parameters?.some(({ $ref }) => $ref === '#/components/parameters/IdempotencyKey'))
    .map(([path]) => path);
  expect(without.toSorted()).toEqual(NOTHING_TO_REPEAT);
});
