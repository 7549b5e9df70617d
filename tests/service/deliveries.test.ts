// The delivery log: what a caller finds in it, and trying again.
import { isFieldSet, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { DeliverySchema, DeliveryView } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { deliveryStatuses } from '../../src/domain/delivery.ts';
import { newId } from '../../src/domain/ids.ts';
import { deleteWebhook } from '../../src/service/delete-webhook.ts';
import { shownRequestHeaders } from '../../src/security/shown-headers.ts';
import { getDelivery } from '../../src/service/get-delivery.ts';
import { listDeliveries, type ListDeliveriesInput } from '../../src/service/list-deliveries.ts';
import { deliveryDetailsMessage } from '../../src/transport/messages/delivery-message.ts';
import { retryDelivery } from '../../src/service/retry-delivery.ts';
import type { Principal } from '../../src/security/tokens.ts';
import {
  addDelivery,
  admin,
  alice,
  type Management,
  mallory,
  orders,
  refusal,
  someWebhook,
  startManagement,
} from './management.ts';

const RANDOM_ID = 'delivery_01hzy000000000000000000000';

let management: Management;
let webhookId: string;
beforeAll(async () => {
  management = await startManagement();
});
afterAll(() => management.close());
beforeEach(async () => {
  await management.database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  management.scheduled.length = 0;
  management.updates.length = 0;
  webhookId = (await someWebhook(management, alice)).id;
});

test('every filter narrows the log, newest first', async () => {
  const { id: second } = await someWebhook(management, alice);
  const now = Date.now();
  const eventId = newId('event', now - 3000);
  const a = await addDelivery(management, { webhookId, eventId, madeAtMs: now - 3000, status: 'failed' });
  const b = await addDelivery(management, { webhookId: second, eventId, madeAtMs: now - 3000, status: 'delivered' });
  const c = await addDelivery(management, { webhookId, madeAtMs: now - 2000, eventType: 'payment.success', status: 'failed' });
  const d = await addDelivery(management, { webhookId, madeAtMs: now - 1000, status: 'cancelled' });
  const cases: [Partial<ListDeliveriesInput>, string[]][] = [
    [{}, [d, c, ...[a, b].toSorted().toReversed()]],
    [{ statuses: ['failed'] }, [c, a]],
    [{ statuses: ['cancelled'] }, [d]],
    [{ statuses: ['pending'] }, []],
    [{ statuses: ['failed', 'cancelled', 'failed'] }, [d, c, a]],
    [{ statuses: ['pending', 'retrying', 'cancelled'] }, [d]],
    [{ statuses: ['delivered', 'cancelled'] }, [d, b]],
    [{ webhookIds: [webhookId] }, [d, c, a]],
    [{ webhookIds: [webhookId, second, webhookId] }, [d, c, ...[a, b].toSorted().toReversed()]],
    [{ webhookIds: [webhookId], statuses: ['failed'], eventType: 'order.created' }, [a]],
    [{ eventId, statuses: ['failed', 'cancelled'] }, [a]],
    [{ httpStatus: 500 }, [c, a]],
    [{ httpStatus: 500, webhookIds: [second] }, []],
    [{ httpStatus: 200 }, [b]],
    [{ errorCode: 'http_status', eventType: 'payment.success' }, [c]],
    [{ errorCode: 'timeout' }, []],
    [{ eventType: 'payment.success' }, [c]],
    [{ eventId }, [a, b].toSorted().toReversed()],
    [{ eventId, webhookIds: [second] }, [b]],
    [{ sinceMs: now - 2000 }, [d, c]],
    [{ untilMs: now - 2000 }, [a, b].toSorted().toReversed()],
    [{ sinceMs: now - 2500, untilMs: now - 1000 }, [c]],
  ];
  for (const principal of [alice, admin, orders]) {
    for (const [filter, expected] of cases) {
      const page = await list(principal, filter);
      expect({ filter, ids: page.items.map(({ id }) => id) }).toEqual({ filter, ids: expected });
      expect([page.total, page.totalIsExact]).toEqual([expected.length, true]);
      const upwards = await list(principal, { ...filter, order: 'asc' });
      expect({ filter, ids: upwards.items.map(({ id }) => id) }).toEqual({ filter, ids: expected.toReversed() });
    }
  }
});

test('users see their own log only, whatever they ask for', async () => {
  const eventId = newId('event', Date.now());
  await addDelivery(management, { webhookId, eventId });
  for (const userId of ['alice', 'nobody-there']) {
    expect(await refusal(list(mallory, { userId }))).toMatchObject({ code: 'permission_denied', reason: 'role_not_allowed' });
  }
  for (const filter of [
    {},
    { webhookIds: [webhookId] },
    { eventId },
    { userId: 'mallory' },
    { webhookIds: [webhookId], eventId },
  ]) {
    expect({ filter, items: (await list(mallory, filter)).items }).toEqual({ filter, items: [] });
  }
  expect((await list(admin, { userId: 'mallory' })).items).toEqual([]);
  expect((await list(admin, { userId: 'alice' })).items).toHaveLength(1);
});

test('the log of a deleted webhook stays readable', async () => {
  const id = await addDelivery(management, { webhookId, status: 'delivered' });
  await deleteWebhook(management.context, alice, webhookId);
  expect((await list(alice, {})).items.map((item) => item.id)).toEqual([id]);
  expect(await getDelivery(management.context, alice, id)).toMatchObject({ id, status: 'delivered' });
});

test('pages by number and by token show every delivery once', async () => {
  const now = Date.now();
  const ids = [];
  for (let i = 0; i < 7; i += 1) ids.unshift(await addDelivery(management, { webhookId, madeAtMs: now + i }));
  expect((await list(alice, { page: 2, limit: 3 })).items.map(({ id }) => id)).toEqual(ids.slice(3, 6));
  expect(await list(alice, { page: 9, limit: 3 })).toMatchObject({ items: [], total: 7, page: 9, nextPageToken: '' });
  const seen = [];
  for (let pageToken = '', more = true; more; more = pageToken !== '') {
    const page = await list(alice, { limit: 3, pageToken });
    expect(page.items.length).toBeGreaterThan(0);
    seen.push(...page.items.map(({ id }) => id));
    pageToken = page.nextPageToken;
  }
  expect(seen).toEqual(ids);
});

test('what makes no sense is refused by the field at fault', async () => {
  const cases: [Partial<ListDeliveriesInput>, string, string][] = [
    [{ limit: 101 }, 'field_invalid', 'limit'],
    [{ limit: -1 }, 'field_invalid', 'limit'],
    [{ page: -1 }, 'field_invalid', 'page'],
    [{ pageToken: 'nonsense' }, 'page_token_invalid', 'page_token'],
    [{ webhookIds: ["' or 1=1 --"] }, 'field_invalid', 'webhook_id'],
    [{ eventId: 'event_' }, 'field_invalid', 'event_id'],
    [{ sinceMs: 2, untilMs: 1 }, 'time_range_invalid', 'until'],
  ];
  for (const [filter, reason, field] of cases) {
    expect(await refusal(list(alice, filter))).toMatchObject({ code: 'invalid_argument', reason, fields: [field] });
  }
  expect((await list(alice, { eventType: "x' or true --" })).items).toEqual([]);
});

test('a delivery carries the body as it is sent, and a first try that succeeded shows as an attempt', async () => {
  const id = await addDelivery(management, { webhookId, status: 'delivered', data: '{"b":"\\u0000","a":1}' });
  const delivery = await getDelivery(management.context, alice, id);
  expect(delivery.body).toBe(
    `{"event":"order.created","data":{"b":"\\u0000","a":1},"timestamp":"2024-01-15T10:30:00.000Z","webhook_id":"${webhookId}","delivery_id":"${id}"}`,
  );
  expect(delivery.attempts).toMatchObject([
    { number: 1, httpStatus: 200, trigger: 'automatic', errorCode: null, durationMs: 10 },
  ]);
});

test('what is sent stands in the answer once: as text, or as a structure for who asks', async () => {
  const delivery = await getDelivery(management.context, alice, await addDelivery(management, { webhookId, data: '{"a":1}' }));
  for (const view of [DeliveryView.UNSPECIFIED, DeliveryView.BODY]) {
    const text = deliveryDetailsMessage(delivery, view);
    expect([text.body, text.payload]).toEqual([delivery.body, undefined]);
  }
  const structure = deliveryDetailsMessage(delivery, DeliveryView.PAYLOAD);
  expect([isFieldSet(structure, DeliverySchema.field.body), structure.payload?.['data']]).toEqual([false, { a: 1 }]);
});

test('whatever was accepted is answered in under 4 MiB, with 1,000 attempts whose answers were not even text', async () => {
  const data = `{"a":[1${',1'.repeat(524_284)}]}`;
  expect(Buffer.byteLength(data)).toBeGreaterThan(1_048_570);
  const id = await addDelivery(management, { webhookId, status: 'failed', attemptCount: 1000, data });
  await management.database.pool.query(
    `insert into attempts (delivery_id, number, started_at, duration_ms, http_status, response, error_code, trigger, request_headers,
       response_headers, remote_address, tls_version)
     select $1, n, now(), 5, 503, repeat($2, 16384), 'http_status', 'manual', $3, $3, repeat('f', 45), 'TLSv1.3' from generate_series(1, 1000) n`,
    [id, '\ufffd', shownRequestHeaders(`\r\n${`${'n'.repeat(50)}: v\r\n`.repeat(200)}`)],
  );
  const delivery = await getDelivery(management.context, alice, id);
  expect(delivery.attempts.map(({ number }) => number)).toEqual(Array.from({ length: 50 }, (_, index) => 951 + index));
  const answer = toBinary(DeliverySchema, deliveryDetailsMessage(delivery, DeliveryView.UNSPECIFIED));
  expect(answer.length).toBeGreaterThan(3_000_000);
  expect(answer.length).toBeLessThan(4 * 1024 * 1024);
});

test('attempts are those on record, each once', async () => {
  const id = await addDelivery(management, { webhookId, status: 'failed', attemptCount: 2 });
  await management.database.pool.query(
    `insert into attempts (delivery_id, number, started_at, duration_ms, http_status, error_code, trigger)
     values ($1, 1, now(), 5, 503, 'http_status', 'automatic'), ($1, 2, now(), 6, 500, 'http_status', 'automatic')`,
    [id],
  );
  const { attempts } = await getDelivery(management.context, alice, id);
  expect(attempts.map(({ number, httpStatus }) => [number, httpStatus])).toEqual([
    [1, 503],
    [2, 500],
  ]);
});

test("another user's delivery answers like one that never was", async () => {
  const id = await addDelivery(management, { webhookId });
  for (const call of [getDelivery, retryDelivery]) {
    const answers = await Promise.all(
      [id, RANDOM_ID, 'nonsense'].map((one) => refusal(call(management.context, mallory, one))),
    );
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ code: 'not_found', reason: 'not_found' });
  }
  expect(management.scheduled).toEqual([]);
});

test.each(deliveryStatuses)(
  'a %s delivery is due at once when tried again by hand, its automatic retries untouched',
  async (status) => {
    const id = await addDelivery(management, { webhookId, status, retriesUsed: 2 });
    const retried = await retryDelivery(management.context, alice, id);
    const wasTried = status !== 'pending' && status !== 'cancelled';
    expect(retried).toMatchObject({ id, status: wasTried ? 'retrying' : 'pending', failedAtMs: null });
    const stored = await row(id);
    expect(stored).toMatchObject({ next_trigger: 'manual', retries_used: 2, is_due: true });
    expect(management.scheduled).toEqual([{ deliveryId: id, webhookId, dueAtMs: Math.floor(retried.nextAttemptAtMs ?? 0) }]);
    expect(Math.abs((retried.nextAttemptAtMs ?? 0) - Date.now())).toBeLessThan(10_000);
    expect(management.updates).toMatchObject([{ deliveryId: id, status: retried.status }]);
  },
);

test('the first success is still on record after the delivery is tried again', async () => {
  const id = await addDelivery(management, { webhookId, status: 'delivered' });
  await retryDelivery(management.context, alice, id);
  await retryDelivery(management.context, alice, id);
  const { rows } = await management.database.pool.query(
    'select number, http_status, error_code from attempts where delivery_id = $1',
    [id],
  );
  expect(rows).toEqual([{ number: 1, http_status: 200, error_code: null }]);
});

test('a retry leaves the attempt that is under way alone, and is kept for after it', async () => {
  const id = await addDelivery(management, { webhookId, status: 'retrying', leasedForSeconds: 30 });
  expect(await retryDelivery(management.context, alice, id)).toMatchObject({ id, status: 'retrying' });
  expect(await row(id)).toMatchObject({ next_trigger: 'manual', is_due: false });
});

test('nothing is tried again for a webhook that is disabled or deleted', async () => {
  const id = await addDelivery(management, { webhookId, status: 'failed' });
  for (const change of ['is_active = false', 'is_active = true, deleted_at = now()']) {
    await management.database.pool.query(`update webhook_endpoints set ${change}`);
    const answer = await refusal(retryDelivery(management.context, alice, id));
    expect(answer).toMatchObject({ code: 'failed_precondition', reason: 'webhook_inactive' });
  }
  expect(await row(id)).toMatchObject({ status: 'failed' });
  expect(management.scheduled).toEqual([]);
});

test('a retry is committed although the schedule cannot be reached', async () => {
  const id = await addDelivery(management, { webhookId, status: 'failed' });
  const away = { ...management.context, scheduler: { enqueue: () => Promise.reject(new Error('away')) } };
  expect(await retryDelivery(away, alice, id)).toMatchObject({ status: 'retrying' });
  expect(await row(id)).toMatchObject({ status: 'retrying', is_due: true });
});

const everything: ListDeliveriesInput = {
  statuses: [],
  webhookIds: [],
  httpStatus: null,
  errorCode: '',
  order: 'desc' as const,
  eventType: '',
  eventId: '',
  sinceMs: null,
  untilMs: null,
  userId: '',
  page: 0,
  limit: 0,
  pageToken: '',
};

function list(principal: Principal, filter: Partial<ListDeliveriesInput>) {
  return listDeliveries(management.context, principal, { ...everything, ...filter });
}

async function row(id: string): Promise<Record<string, unknown>> {
  const { rows } = await management.database.pool.query<Record<string, unknown>>(
    'select *, coalesce(next_attempt_at <= now(), false) as is_due from deliveries where id = $1',
    [id],
  );
  return rows[0] ?? {};
}
