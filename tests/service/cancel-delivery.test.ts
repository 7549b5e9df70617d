// Cancelling one delivery by a call.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { cancelDelivery } from '../../src/service/cancel-delivery.ts';
import { eventRow, outcomeRow } from '../persistence/hot-rows.ts';
import { addDelivery, admin, alice, type Management, mallory, refusal, someWebhook, startManagement } from './management.ts';

let management: Management;
let webhookId: string;
beforeAll(async () => {
  management = await startManagement();
});
afterAll(() => management.close());
beforeEach(async () => {
  await management.database.pool.query('truncate webhook_endpoints, deliveries, events, attempts, ordering_heads');
  management.scheduled.length = 0;
  management.updates.length = 0;
  management.cancelled = 0;
  webhookId = (await someWebhook(management, alice)).id;
});

async function row(id: string) {
  const { rows } = await management.database.pool.query(
    `select status, cancel_reason, cancelled_at is not null as is_marked, next_attempt_at, leased_until, held_at, waits
     from deliveries where id = $1`,
    [id],
  );
  return rows[0];
}

const ENDED = {
  status: 'cancelled',
  cancel_reason: 'caller',
  is_marked: true,
  next_attempt_at: null,
  leased_until: null,
  held_at: null,
  waits: null,
};

test.each([
  ['is scheduled', { status: 'pending' }, ''],
  ['waits for a retry', { status: 'retrying' }, ''],
  ['is under way', { status: 'retrying', leasedForSeconds: 30 }, ''],
  ['is held', { status: 'pending' }, 'next_attempt_at = null, held_at = now()'],
  ['waits for its turn', { status: 'pending' }, 'next_attempt_at = null, waits = true'],
] as const)('a delivery that %s is cancelled, counted and announced', async (_, columns, change) => {
  const id = await addDelivery(management, { webhookId, ...columns });
  if (change !== '') await management.database.pool.query(`update deliveries set ${change}`);
  expect(await cancelDelivery(management.context, alice, id)).toMatchObject({
    id,
    status: 'cancelled',
    cancelReason: 'caller',
  });
  expect(await row(id)).toEqual(ENDED);
  expect(management.updates).toMatchObject([{ deliveryId: id, status: 'cancelled', cancelReason: 'caller' }]);
  expect(management.cancelled).toBe(1);
});

test('one that is cancelled already is answered as it stands, and announced no more', async () => {
  const id = await addDelivery(management, { webhookId });
  await cancelDelivery(management.context, alice, id);
  expect(await cancelDelivery(management.context, admin, id)).toMatchObject({
    id,
    status: 'cancelled',
    cancelReason: 'caller',
  });
  expect(management.updates).toHaveLength(1);
  expect(management.cancelled).toBe(1);
});

test.each(['delivered', 'failed'] as const)('one that is %s stays so, and the call is refused', async (status) => {
  const id = await addDelivery(management, { webhookId, status });
  const answer = await refusal(cancelDelivery(management.context, alice, id));
  expect(answer).toMatchObject({ code: 'failed_precondition', reason: 'delivery_ended' });
  expect(await row(id)).toMatchObject({ status, cancel_reason: null });
  expect(management.updates).toEqual([]);
});

test('one that was delivered and is being sent again stays delivered', async () => {
  const id = await addDelivery(management, { webhookId, status: 'delivered' });
  await management.database.pool.query(
    `update deliveries set status = 'retrying', next_attempt_at = now(), next_trigger = 'manual'`,
  );
  expect(await cancelDelivery(management.context, alice, id)).toMatchObject({ status: 'delivered' });
  expect(await row(id)).toMatchObject({ status: 'delivered', cancel_reason: null, next_attempt_at: null });
});

test("another user's delivery answers like one that never was", async () => {
  const id = await addDelivery(management, { webhookId });
  for (const one of [id, 'delivery_01hzy000000000000000000000', 'nonsense']) {
    const answer = await refusal(cancelDelivery(management.context, mallory, one));
    expect(answer).toMatchObject({ code: 'not_found', reason: 'not_found' });
  }
  expect(await row(id)).toMatchObject({ status: 'pending' });
});

test('a request under way that succeeds after the cancellation delivers; one that fails leaves it cancelled', async () => {
  const [arrived, lost] = [
    await addDelivery(management, { webhookId, leasedForSeconds: 30 }),
    await addDelivery(management, { webhookId, leasedForSeconds: 30 }),
  ];
  for (const id of [arrived, lost]) await cancelDelivery(management.context, alice, id);
  await recordOutcomes(management.database.pool, [
    outcomeRow(arrived, { webhookId }),
    outcomeRow(lost, { webhookId, status: 'retrying', delayMs: 1000, errorCode: 'timeout', httpStatus: null }),
  ]);
  expect(await row(arrived)).toMatchObject({ status: 'delivered' });
  expect(await row(lost)).toMatchObject({ status: 'cancelled', cancel_reason: 'caller', next_attempt_at: null });
});

test('the next of its ordering key is due at once, and scheduled, when the one with the turn is cancelled', async () => {
  const { pool } = management.database;
  await pool.query(`update webhook_endpoints set ordering = 'key'`);
  const events = [1, 2, 3].map(() => eventRow({ userIds: ['alice'], orderingKey: 'o-1' }));
  const inserted = await insertEvents(pool, events, null);
  const [first = '', second = '', third = ''] = events.map(({ id }) => inserted.deliveries.get(id)?.[0]?.deliveryId);
  // As long as the first could be under way, the next is not due.
  await pool.query(`update deliveries set next_attempt_at = now() + interval '1 hour' where id = $1`, [first]);
  await cancelDelivery(management.context, alice, second);
  expect(management.scheduled).toMatchObject([{ deliveryId: first }]);
  management.scheduled.length = 0;
  await cancelDelivery(management.context, alice, first);
  expect(management.scheduled).toMatchObject([{ deliveryId: third, webhookId }]);
  expect(await row(third)).toMatchObject({ status: 'pending', waits: false });
  expect((await row(third)).next_attempt_at).not.toBeNull();
});
