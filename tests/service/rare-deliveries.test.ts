// A list by an event type that is rare everywhere is that of the log, page by page, though it is read from what the sums name.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { sumPage } from '../../src/persistence/queries/sum-log.ts';
import { rareDeliveries } from '../../src/persistence/queries/rare-deliveries.ts';
import { inSnapshot } from '../../src/persistence/transaction.ts';
import { listDeliveries, type ListDeliveriesInput } from '../../src/service/list-deliveries.ts';
import { beginSums } from '../persistence/sums.ts';
import { admin, alice, type Management, mallory, someWebhook, startManagement } from './management.ts';

const HOUR_MS = 3_600_000;
const nowMs = Date.now();
const sinceMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS - 20 * HOUR_MS;

let management: Management;
let webhooks: string[];
beforeAll(async () => {
  management = await startManagement();
  const { pool } = management.database;
  webhooks = [(await someWebhook(management, alice)).id, (await someWebhook(management, mallory)).id];
  await pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 3, 3)`);
  const ids = Array.from({ length: 3000 }, (_, n) => newId('delivery', sinceMs + Math.floor((n / 3000) * (nowMs - sinceMs))));
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status)
     select id, 'event_1', ($2::text[])[1 + number % 2], case when number % 2 = 0 then 'alice' else 'mallory' end,
       case when number % 61 = 0 then 'chef.approved' else 'order.created' end, case when number % 3 = 0 then 'failed' else 'delivered' end
     from unnest($1::text[]) with ordinality i(id, number)`,
    [ids, webhooks],
  );
  await beginSums(pool, sinceMs);
  const below = idFloor('delivery', sinceMs + Math.floor(17.3 * HOUR_MS));
  await pool.query('update summing set closing_below = $1', [below]);
  while ((await sumPage(pool, below, 70))?.isMore === true);
});
afterAll(() => management.close());

const all: ListDeliveriesInput = {
  statuses: [],
  webhookIds: [],
  httpStatus: null,
  errorCode: '',
  order: 'desc' as const,
  eventType: 'chef.approved',
  eventId: '',
  sinceMs: null,
  untilMs: null,
  userId: '',
  page: 0,
  limit: 7,
  pageToken: '',
};

async function inLog(where: string): Promise<string[]> {
  const { rows } = await management.database.pool.query<{ id: string }>(
    `select id from deliveries where event_type = 'chef.approved' and ${where} order by id desc`,
  );
  return rows.map(({ id }) => id);
}

test('all pages together, by token and by number, are what the log has', async () => {
  const cases = [
    [admin, {}, 'true'],
    [alice, {}, `user_id = 'alice'`],
    [admin, { webhookIds: [webhooks[1] ?? ''] }, `webhook_id = '${webhooks[1]}'`],
    [admin, { statuses: ['failed'] }, `status = 'failed'`],
    [
      admin,
      { sinceMs: sinceMs + 3.5 * HOUR_MS, untilMs: sinceMs + 17.1 * HOUR_MS },
      `id >= '${idFloor('delivery', sinceMs + 3.5 * HOUR_MS)}' and id < '${idFloor('delivery', sinceMs + 17.1 * HOUR_MS)}'`,
    ],
  ] as const;
  for (const [who, filter, where] of cases) {
    const expected = await inLog(where);
    expect(expected.length).toBeGreaterThan(10);
    const byToken: string[] = [];
    for (let pageToken = '', isFirst = true; isFirst || pageToken !== ''; isFirst = false) {
      const page = await listDeliveries(management.context, who, { ...all, ...filter, pageToken });
      expect(page).toMatchObject({ total: expected.length, totalIsExact: true });
      byToken.push(...page.items.map(({ id }) => id));
      pageToken = page.nextPageToken;
    }
    expect(byToken).toEqual(expected);
    const second = await listDeliveries(management.context, who, { ...all, ...filter, page: 2 });
    expect(second.items.map(({ id }) => id)).toEqual(expected.slice(7, 14));
    const upwards = await listDeliveries(management.context, who, { ...all, ...filter, order: 'asc', page: 2 });
    expect(upwards.items.map(({ id }) => id)).toEqual(expected.toReversed().slice(7, 14));
    const { items } = await listDeliveries(management.context, who, {
      ...all,
      ...filter,
      order: 'asc',
      pageToken: upwards.nextPageToken,
    });
    expect(items.map(({ id }) => id)).toEqual(expected.toReversed().slice(14, 21));
  }
});

test('a type that was never sent is answered without a look at what is summed up; a frequent one is searched in the log', async () => {
  const filter = {
    userId: null,
    webhookIds: [],
    statuses: [],
    httpStatus: null,
    errorCode: null,
    eventId: null,
    fromId: null,
    belowId: null,
    along: 'webhooks' as const,
  };
  const rare = (eventType: string, maxOpen = 1000) =>
    inSnapshot(management.database.pool, (client) => rareDeliveries(client, { ...filter, eventType }, maxOpen));
  expect(await rare('tip.received')).toEqual([]);
  expect(await rare('order.created')).toBeNull();
  expect(await rare('chef.approved', 100)).toBeNull();
});
