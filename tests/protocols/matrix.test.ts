// The same mistake is refused for the same reason on every protocol: a row for each mistake, a cell for each protocol that can make it.
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { codeOf, reasons } from '../../src/domain/errors.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { restClient } from '../fixtures/rest.ts';
import { bearer, openSocket } from '../realtime/watching.ts';
import { everyProtocol, isOfEvents, type Ask, type Protocol } from './protocols.ts';
import { NO_CALL, type Told } from './told.ts';
import { elsewhere, MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES, rows, type Row, type Scene } from './refusals.ts';

const env = {
  WEBHOOK_MAX_PAYLOAD_SIZE: String(MAX_PAYLOAD_BYTES),
  WEBHOOK_MAX_MESSAGE_SIZE: String(MAX_BATCH_BYTES),
  WEBHOOK_MAX_BATCH_SIZE: String(MAX_BATCH_BYTES),
  MAX_WEBHOOKS_PER_USER: '1',
  MAX_WATCHERS_PER_USER: '1',
  DIAGNOSES_PER_MINUTE: '1',
};
/** Far beyond what a refusal takes on a busy machine. */
const PATIENCE_MS = 15_000;
/** What a protocol asks that does it wrong in the headers, the first that it serves. */
const SAMPLES: readonly (readonly [rpc: string, message: JsonObject])[] = [
  ['PublishEvent', { event_type: 'order.created', data_json: 'e30=', audience: { user_ids: ['nobody'] } }],
  ['ListWebhooks', {}],
  ['WatchDeliveries', {}],
];

let service: TestApp;
let limited: TestApp;
let receiver: Receiver;
let crowded: Promise<string> | undefined;
let users = 0;
const counts = { cells: 0, protocols: new Set<string>() };

beforeAll(async () => {
  [service, limited, receiver] = await Promise.all([
    startApp({ env }),
    startApp({ env: { ...env, RATE_LIMIT_PER_MINUTE: '1' } }),
    startReceiver(),
  ]);
});
afterAll(async () => {
  console.log(
    `${rows.length} refusals on ${counts.protocols.size} protocols: ${counts.cells} answers, each with the row’s own code, reason and field`,
  );
  await receiver.close();
  await Promise.all([service.close(), limited.close()]);
});

test('every reason of the catalogue has a row, or a test elsewhere', () => {
  const covered = new Set<string>([...rows.map(({ reason }) => reason), ...Object.keys(elsewhere)]);
  expect(Object.keys(reasons).filter((reason) => !covered.has(reason))).toEqual([]);
  expect(Object.values(elsewhere).filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)))).toEqual([]);
});

test.each(rows)('$name: $reason', { timeout: 60_000 }, async (row) => {
  const app = row.isRateLimited === true ? limited : service;
  const protocols = everyProtocol(app.http, app.grpc);
  const wrong: unknown[] = [];
  let cells = 0;
  for (const protocol of protocols) {
    const asked = await askedBy(row, protocol, app);
    if (asked === null || asked.told === null) continue;
    cells += 1;
    counts.protocols.add(protocol.name);
    const { told } = asked;
    const field = typeof row.field === 'function' ? row.field(protocol) : row.field;
    const expected = {
      code: codeOf(row.reason),
      reason: row.reason,
      fields: field === undefined ? [] : [protocol.fieldName(field)],
    };
    const isAnswered =
      told.code === expected.code && told.reason === expected.reason && String(told.fields) === String(expected.fields);
    // One of many has no id of its own; the call has.
    const isItem = / (batch|stream)$/.test(protocol.name) && told.requestId === null;
    const hasId = told.requestId === NO_CALL || /^[\w.-]{8,}$/.test(told.requestId ?? '');
    if (!isAnswered || (!isItem && !hasId)) wrong.push({ protocol: protocol.name, ...told });
  }
  expect({ row: row.name, expected: `${codeOf(row.reason)} ${row.reason} ${String(row.field ?? '')}`, wrong }).toMatchObject({
    wrong: [],
  });
  expect(cells).toBeGreaterThan(0);
  counts.cells += cells;
});

/** Null: the protocol cannot ask this, or cannot do it wrong. */
async function askedBy(row: Row, protocol: Protocol, app: TestApp) {
  if (row.needs !== undefined && !protocol.features.has(row.needs)) return null;
  const [rpc, sample] = SAMPLES.find(([name]) => canAsk(row, protocol, name)) ?? [null, {}];
  const name = row.rpc ?? rpc;
  if (name === null || !protocol.serves(name)) return null;
  if (row.text !== undefined && protocol.format === 'protobuf') return null;
  // Text that is not an object's is no query.
  if (typeof row.text === 'string' && protocol.format === 'query') return null;

  users += 1;
  const role = row.role ?? (isOfEvents(name) ? 'service' : 'developer');
  const user = `${role}-${users}`;
  const token = await app.token(user, role);
  const after: (() => Promise<void> | void)[] = [];
  const scene = sceneOf(app, user, token, after);
  try {
    await row.before?.(scene);
    if (row.isRateLimited === true) await restClient(app.http, token)('GET', '/api/v1/webhooks');
    const message = typeof row.message === 'function' ? await row.message(scene) : (row.message ?? sample);
    const text = row.text === undefined ? {} : typeof row.text === 'string' ? { text: row.text } : { message: row.text };
    const ask: Ask = { rpc: name, message, token, ...text };
    const change = row.ask?.(ask) ?? {};
    const deadline =
      change.deadline !== undefined && protocol.deadlineHeader === 'grpc-timeout' && /^\d+$/.test(change.deadline)
        ? { deadline: `${change.deadline}m` }
        : {};
    return { told: await answered(protocol.ask({ ...ask, ...change, ...deadline })) };
  } finally {
    for (const undo of after) await undo();
  }
}

// A stream that was not refused would go on without end.
function answered(told: Promise<Told | null>): Promise<Told | null> {
  const never: Told = { code: 'not refused', reason: '', fields: [], requestId: null };
  return Promise.race([told, new Promise<Told>((resolve) => setTimeout(() => resolve(never), PATIENCE_MS).unref())]);
}

function canAsk(row: Row, protocol: Protocol, rpc: string): boolean {
  const isAllowed = row.role !== 'developer' || rpc !== 'PublishEvent';
  return row.rpc === null && isAllowed && protocol.serves(rpc);
}

function sceneOf(app: TestApp, user: string, token: string, after: (() => Promise<void> | void)[]): Scene {
  const call = restClient(app.http, token);
  return {
    user,
    async webhook(change, key) {
      const input = { url: 'https://example.com/hook', events: ['order.created'] };
      const { status, body } = await call(
        'POST',
        '/api/v1/webhooks',
        key === undefined ? input : { ...input, idempotency_key: key },
      );
      expect(status).toBe(201);
      if (change !== undefined) expect((await call('PUT', `/api/v1/webhooks/${body.id}`, change)).status).toBe(200);
      return body.id as string;
    },
    async strictType() {
      const admin = restClient(app.http, await app.token('root', 'admin'));
      const name = `matrix.strict_${users}`;
      const schema = { properties: { status: { type: 'string' } } };
      expect((await admin('POST', '/api/v1/webhooks/events', { name, schema, validation: 'strict' })).status).toBe(201);
      return name;
    },
    crowdedType(webhooks) {
      crowded ??= crowd(app, webhooks);
      return crowded;
    },
    async call(method, path, body) {
      const { status, body: answer } = await call(method, path, body);
      expect(status).toBeLessThan(300);
      return answer;
    },
    async endedDelivery(more = {}) {
      await this.webhook({ url: receiver.url('/') });
      const publisher = await app.as('kitchen', 'service');
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: [user] }, ...more };
      expect((await publisher('POST', '/api/v1/events', event)).status).toBe(202);
      return eventually(async () => {
        const { body } = await call('GET', '/api/v1/webhooks/deliveries?status=delivered&status=cancelled');
        return body.deliveries[0]?.id as string | undefined;
      });
    },
    async supersededDelivery() {
      await this.webhook({ url: receiver.url('/') });
      const publisher = await app.as('kitchen', 'service');
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: [user] }, collapse_key: 'a' };
      expect((await publisher('POST', '/api/v1/events/batch', { events: [event, event] })).status).toBe(202);
      const { body } = await call('GET', '/api/v1/webhooks/deliveries?status=cancelled');
      return body.deliveries[0].id as string;
    },
    async hangingTests(key) {
      const path = `/hang/${user}`;
      const id = await this.webhook({ url: receiver.url(path), retry_policy: { timeout: 25 } });
      const sockets: Socket[] = [];
      receiver.script(path, (socket) => sockets.push(socket));
      const send = (more: JsonObject) => call('POST', `/api/v1/webhooks/${id}/test`, more);
      const tests = [send({ idempotency_key: key }), send({})];
      await eventually(() => sockets.length === tests.length);
      after.push(async () => {
        for (const socket of sockets) socket.destroy();
        await Promise.all(tests);
      });
      return id;
    },
    async change(statement, back) {
      await app.database.pool.query(statement);
      after.push(async () => void (await app.database.pool.query(back)));
    },
    async rotateServiceKey() {
      const admin = restClient(app.http, await app.token('root', 'admin'));
      // Whatever is under way ends with the first, and the second begins one.
      for (const overlap_hours of [0, 1])
        expect((await admin('POST', '/api/v1/service-keys/rotate', { overlap_hours })).status).toBe(200);
    },
    async diagnose() {
      expect((await call('POST', '/api/v1/webhooks/diagnose', { url: 'ftp://example.com/' })).status).toBe(200);
    },
    async publish(event) {
      expect((await call('POST', '/api/v1/events', event)).status).toBe(202);
    },
    async publishBatch(batch) {
      expect((await call('POST', '/api/v1/events/batch', batch)).status).toBe(202);
    },
    async watch() {
      const { socket, messages } = openSocket(app.http, '', bearer(token));
      after.push(() => socket.terminate());
      await eventually(() => messages.length > 0);
    },
    async lockTables() {
      const client = await app.database.pool.connect();
      after.push(async () => {
        await client.query('rollback');
        client.release();
      });
      // The service's own statements may hold them in another order, and then one of the two is chosen to fail.
      await eventually(async () => {
        await client.query('begin');
        const locked = client.query('lock table events, webhook_endpoints in access exclusive mode');
        return locked.then(
          () => true,
          async () => (await client.query('rollback'), false),
        );
      });
    },
  };
}

async function crowd(app: TestApp, webhooks: number): Promise<string> {
  const admin = await app.as('root', 'admin');
  const name = 'matrix.crowded';
  expect((await admin('POST', '/api/v1/webhooks/events', { name })).status).toBe(201);
  await app.database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || n, 'fan-' || n, 'https://example.com/', $1, 's', 'h' from generate_series(1, $2::integer) n`,
    [JSON.stringify([name]), webhooks],
  );
  return name;
}
