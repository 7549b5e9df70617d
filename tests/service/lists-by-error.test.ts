// Lists by an error or by a status: all pages together are what the log has, whichever index leads to the rows.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import type { Principal } from '../../src/security/tokens.ts';
import { listDeliveries, type ListDeliveriesInput } from '../../src/service/list-deliveries.ts';
import { admin, alice, type Management, mallory, someWebhook, startManagement } from './management.ts';

const DELIVERIES = 2000;
/** More than are walked one by one. */
const WEBHOOKS_OF_MALLORY = 120;

let management: Management;
let ofAlice: string;
beforeAll(async () => {
  management = await startManagement();
  const { pool } = management.database;
  ofAlice = (await someWebhook(management, alice)).id;
  const first = (await someWebhook(management, mallory)).id;
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || lpad(n::text, 26, '0'), 'mallory', 'https://example.com', '["order.created"]', 's', 'h' from generate_series(2, $1::integer) n`,
    [WEBHOOKS_OF_MALLORY],
  );
  const nowMs = Date.now();
  const ids = Array.from({ length: DELIVERIES }, (_, n) => newId('delivery', nowMs - n * 10));
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, failed_at, error_code, http_status)
     select id, 'event_1', case when n % 2 = 0 then $2 when n % 4 = 1 then $3 else 'webhook_' || lpad((2 + n % 119)::text, 26, '0') end,
       case when n % 2 = 0 then 'alice' else 'mallory' end, case when n % 5 = 0 then 'tip.received' else 'order.created' end,
       case when n % 7 < 3 then 'failed' else 'delivered' end, case when n % 7 < 3 then now() end,
       case n % 7 when 0 then 'http_status' when 1 then 'timeout' when 2 then 'redirect_not_followed' end,
       case n % 7 when 0 then 500 + n % 2 when 1 then null when 2 then 302 when 3 then 204 else 200 end
     from unnest($1::text[]) with ordinality i(id, n)`,
    [ids, ofAlice, first],
  );
  await pool.query('analyze deliveries');
});
afterAll(() => management.close());

const everything: ListDeliveriesInput = {
  statuses: [],
  webhookIds: [],
  httpStatus: null,
  errorCode: '',
  order: 'desc',
  eventType: '',
  eventId: '',
  sinceMs: null,
  untilMs: null,
  userId: '',
  page: 0,
  limit: 20,
  pageToken: '',
};

async function idsOf(principal: Principal, filter: Partial<ListDeliveriesInput>): Promise<string[]> {
  const found: string[] = [];
  let pageToken = '';
  do {
    const asked = { ...everything, ...filter, pageToken };
    const page = await listDeliveries(management.context, principal, asked, { maxLookedAt: 400, maxRowsRead: 90 });
    found.push(...page.items.map(({ id }) => id));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found;
}

const cases: [string, Partial<ListDeliveriesInput>, string][] = [
  ['an error', { errorCode: 'timeout' }, `error_code = 'timeout'`],
  ['an error that nothing had', { errorCode: 'dns_error' }, 'false'],
  ['a status that failed', { httpStatus: 500 }, 'http_status = 500'],
  ['a redirect', { httpStatus: 302 }, 'http_status = 302'],
  ['a status that failed nothing', { httpStatus: 204 }, 'http_status = 204'],
  ['a status that there never was', { httpStatus: 299 }, 'false'],
  ['an error and another status', { httpStatus: 302, errorCode: 'http_status' }, 'false'],
  [
    'a type, statuses and an error',
    { eventType: 'tip.received', statuses: ['failed', 'delivered'], errorCode: 'http_status' },
    `event_type = 'tip.received' and error_code = 'http_status'`,
  ],
];

describe.each([
  ['with the index of errors', true],
  ['while that index is being built', false],
])('%s', (_name, isBuilt) => {
  beforeAll(() =>
    management.database.pool.query(
      `update pg_index set indisvalid = ${isBuilt} where indexrelid = 'deliveries_with_error'::regclass`,
    ),
  );

  test.each(cases)('all pages of %s are what the log has', async (_what, filter, where) => {
    for (const [principal, narrower, owned] of [
      [alice, {}, `user_id = 'alice'`],
      [alice, { webhookIds: [ofAlice] }, `webhook_id = '${ofAlice}'`],
      [mallory, {}, `user_id = 'mallory'`],
      [admin, {}, 'true'],
    ] as const) {
      for (const order of ['desc', 'asc'] as const) {
        const { rows } = await management.database.pool.query<{ id: string }>(
          `select id from deliveries where ${where} and ${owned} order by id ${order}`,
        );
        expect(await idsOf(principal, { ...filter, ...narrower, order })).toEqual(rows.map(({ id }) => id));
      }
    }
  });
});
