// Publishers look at what they have published: to whom it went, and why to none.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listEvents, type ListEventsInput } from '../../src/service/list-events.ts';
import { newId } from '../../src/domain/ids.ts';
import { admin, orders, startManagement, type Management } from '../service/management.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish as publishEvent } from '../fixtures/scenario.ts';

let receiver: Receiver;
let service: TestApp;
let publisher: Rest;
let root: Rest;
beforeAll(async () => {
  receiver = await startReceiver();
  service = await startApp();
  publisher = await service.as('order-service', 'service');
  root = await service.as('root', 'admin');
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const publish = (userIds: string[], more: object = {}, by = publisher): Promise<string> =>
  publishEvent(by, userIds, { data: { order: '1' }, ...more });

async function register(user: string, more: object = {}): Promise<string> {
  const { id } = await createWebhook(await service.as(user), receiver.url(`/${user}`), more);
  return id;
}

test('an event says to whom it went, and how that goes', async () => {
  receiver.script('/ann', 500);
  const webhooks = [await register('ann'), await register('ann', { url: receiver.url('/fine') }), await register('bea')];
  const id = await publish(['ann', 'bea', 'nobody']);
  const event = await eventually(async () => {
    const { body } = await publisher('GET', `/api/v1/events/${id}`);
    return body.counts.delivered === 2 && body.counts.retrying === 1 && body;
  });
  expect(event).toMatchObject({
    id,
    event_type: 'order.created',
    publisher: 'order-service',
    broadcast: false,
    user_ids: ['ann', 'bea', 'nobody'],
    data_json: '{"order":"1"}',
    deliveries: 3,
    counts: { total: 3, delivered: 2, retrying: 1, pending: 0, failed: 0, cancelled: 0 },
  });
  expect(event.no_delivery_reason).toBeUndefined();
  const { body: log } = await root('GET', `/api/v1/webhooks/deliveries?event_id=${id}&order=asc`);
  expect(event.sent_to).toEqual(
    log.deliveries.map(({ id: delivery_id, webhook_id, status }: any) => ({
      delivery_id,
      webhook_id,
      user_id: webhook_id === webhooks[2] ? 'bea' : 'ann',
      status,
    })),
  );
});

test('an event that went to no webhook says why', async () => {
  const reasonFor = async (id: string): Promise<unknown> => {
    const { body } = await publisher('GET', `/api/v1/events/${id}`);
    expect([body.deliveries, body.sent_to]).toEqual([0, []]);
    return body.no_delivery_reason;
  };
  expect(await reasonFor(await publish(['cleo']))).toBe('no_webhook');
  const webhook = await register('cleo', { events: ['tip.received'] });
  const id = await publish(['cleo']);
  expect(await reasonFor(id)).toBe('not_subscribed');
  const cleo = await service.as('cleo');
  await cleo('PATCH', `/api/v1/webhooks/${webhook}`, { events: ['order.created'], is_active: false });
  expect(await reasonFor(id)).toBe('inactive');
  await cleo('PATCH', `/api/v1/webhooks/${webhook}`, { is_active: true });
  expect(await reasonFor(id)).toBe('changed_since');
  await cleo('PATCH', `/api/v1/webhooks/${webhook}`, { filter: '$.no_such_field == 1' });
  expect(await reasonFor(id)).toBe('filtered');
  await cleo('DELETE', `/api/v1/webhooks/${webhook}`);
  expect(await reasonFor(id)).toBe('no_webhook');
  const broadcast = await publish([], { event_type: 'chef.approved', audience: { broadcast: true } });
  expect(await reasonFor(broadcast)).toBe('not_subscribed');
});

test('a service sees its own events, an admin all services’, a developer none', async () => {
  const other = await service.as('payment-service', 'service');
  const [mine, theirs] = [await publish(['dora']), await publish(['dora'], {}, other)];
  const ids = async (by: Rest, query = ''): Promise<string[]> =>
    (await by('GET', `/api/v1/events?user_id=dora${query}`)).body.events.map(({ id }: { id: string }) => id);
  expect(await ids(publisher)).toEqual([mine]);
  expect(await ids(other)).toEqual([theirs]);
  expect((await ids(root)).toSorted()).toEqual([mine, theirs].toSorted());
  expect(await ids(root, '&publisher=payment-service')).toEqual([theirs]);
  const refused = await publisher('GET', '/api/v1/events?publisher=payment-service');
  expect([refused.status, refused.body.error.reason, refused.body.error.details[0].field]).toEqual([
    403,
    'role_not_allowed',
    'publisher',
  ]);
  for (const id of [theirs, newId('event', Date.now()), 'event_1']) {
    const { status, body } = await publisher('GET', `/api/v1/events/${id}`);
    expect([id, status, body.error.reason]).toEqual([id, 404, 'not_found']);
  }
  expect((await (await service.as('dora'))('GET', `/api/v1/events/${mine}`)).status).toBe(403);
});

test('lists of events have what one event alone has in no form', async () => {
  await publish(['ella']);
  const { body } = await publisher('GET', '/api/v1/events?user_id=ella');
  expect(Object.keys(body.events[0]).toSorted()).toEqual(
    ['id', 'event_type', 'publisher', 'broadcast', 'occurred_at', 'created_at', 'deliveries'].toSorted(),
  );
});

test('attempts are absent where they are not shown, and a list where they are', async () => {
  await register('fran');
  const id = await publish(['fran']);
  const fran = await service.as('fran');
  const [listed] = await eventually(async () => {
    const { body } = await fran('GET', `/api/v1/webhooks/deliveries?event_id=${id}`);
    return body.deliveries[0]?.status === 'delivered' && body.deliveries;
  });
  expect('attempts' in listed).toBe(false);
  const { body: one } = await fran('GET', `/api/v1/webhooks/deliveries/${listed.id}`);
  expect(one.attempts).toHaveLength(1);
  const { body: retried } = await fran('POST', `/api/v1/webhooks/deliveries/${listed.id}/retry`, {});
  expect('attempts' in retried).toBe(false);
  // The attempt by hand writes its outcome first.
  await eventually(async () => {
    const { body } = await fran('GET', `/api/v1/webhooks/deliveries/${listed.id}`);
    return body.status === 'delivered' && body.attempts.length === 2;
  });
  await service.database.pool.query('update deliveries set attempt_count = 0, attempted_at = null where id = $1', [listed.id]);
  await service.database.pool.query('delete from attempts where delivery_id = $1', [listed.id]);
  const { body: untried } = await fran('GET', `/api/v1/webhooks/deliveries/${listed.id}`);
  expect(untried.attempts).toEqual([]);
});

test('pages of events show each once, and look at so many', async () => {
  const management: Management = await startManagement();
  try {
    const now = Date.now();
    const ids = Array.from({ length: 30 }, (_, n) => newId('event', now - n * 1000));
    await management.database.pool.query(
      `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
       select id, case when n % 10 = 0 then 'tip.received' else 'order.created' end, '{}', now(), case when n = 30 then 'others' else 'orders' end, '{}', false
       from unnest($1::text[]) with ordinality as i(id, n)`,
      [ids],
    );
    const none: ListEventsInput = {
      eventType: '',
      publisher: '',
      userId: '',
      sinceMs: null,
      untilMs: null,
      limit: 0,
      pageToken: '',
    };
    const all = async (
      principal: typeof orders,
      input: Partial<ListEventsInput>,
      maxLookedAt?: number,
    ): Promise<string[][]> => {
      const pages: string[][] = [];
      for (let pageToken = '', isFirst = true; isFirst || pageToken !== ''; isFirst = false) {
        const limits = maxLookedAt === undefined ? {} : { maxLookedAt };
        const page = await listEvents(management.context, principal, { ...none, ...input, pageToken }, limits);
        pages.push(page.items.map(({ id }) => id));
        pageToken = page.nextPageToken;
      }
      return pages;
    };
    expect((await all(orders, { limit: 7 })).flat()).toEqual(ids.slice(0, 29));
    expect((await all(admin, { limit: 7 })).flat()).toEqual(ids);
    expect(await all(admin, { eventType: 'tip.received' })).toEqual([[ids[9], ids[19], ids[29]]]);
    // A page looks at six; one that finds none says where to read on.
    expect((await all(admin, { eventType: 'tip.received' }, 5)).map((page) => page.length)).toEqual([0, 1, 0, 1, 1, 0]);
    expect((await all(admin, { eventType: 'tip.received' }, 5)).flat()).toEqual([ids[9], ids[19], ids[29]]);
    expect((await all(admin, { sinceMs: now - 4500, untilMs: now - 500 })).flat()).toEqual(ids.slice(1, 5));
  } finally {
    await management.close();
  }
});
