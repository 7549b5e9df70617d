// Replays of many webhooks in one call, for operators: of a user, of a cause, of a time; bounded, all or none, and skipped with a reason.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish, type Scenario, startScenario } from '../fixtures/scenario.ts';

const PATIENCE = { deadlineMs: 20_000 };
const SINCE = new Date(Date.now() - 3_600_000).toISOString();

let scenario: Scenario;
let operator: Rest;
let count = 0;
let user: string;
beforeAll(async () => {
  scenario = await startScenario();
  operator = await scenario.service.as('root', 'admin');
});
afterAll(() => scenario.close());
beforeEach(() => {
  count += 1;
  user = `user${count}`;
});

/** A webhook of the user, whose receiver answers this to the one event that it gets, and takes what is sent again. */
async function webhookThatGot(status: number, name = 'till'): Promise<string> {
  const path = `/${user}-${name}`;
  scenario.receiver.script(path, status, 200);
  const owner = await scenario.service.as(user);
  const { id } = await createWebhook(owner, scenario.receiver.url(path), { retry_policy: { max_retries: 0 } });
  return id;
}

async function publishTo(webhookIds: readonly string[], ended: number): Promise<void> {
  await publish(scenario.publisher, [user]);
  const owner = await scenario.service.as(user);
  const isOver = async () => (await owner('GET', '/api/v1/webhooks/deliveries?status=failed')).body.total === ended;
  await eventually(isOver, { what: `${ended} failures of ${webhookIds.length}`, ...PATIENCE });
}

const replays = (body: object) => operator('POST', '/api/v1/replays', body);

test('what a user’s webhooks did not get is counted, and then sent again, each webhook by a replay of its own', async () => {
  const [first, second, well] = [
    await webhookThatGot(500),
    await webhookThatGot(503, 'books'),
    await webhookThatGot(200, 'crm'),
  ];
  await publishTo([first, second, well], 2);
  const dry = await replays({ user_id: user, dry_run: true });
  expect(dry).toMatchObject({ status: 200, body: { dry_run: true, next_page_token: '' } });
  expect(dry.body.replays).toMatchObject([
    { webhook_id: first, matched: 1 },
    { webhook_id: second, matched: 1 },
  ]);
  const made = await replays({ user_id: user, rate: 100 });
  expect(made.status).toBe(202);
  expect(made.body.skipped).toEqual([]);
  expect(made.body.replays).toMatchObject([
    { webhook_id: first, state: 'running', matched: 1, rate: 100 },
    { webhook_id: second, state: 'running', matched: 1, rate: 100 },
  ]);
  for (const { id, webhook_id: webhookId } of made.body.replays) {
    const at = `/api/v1/webhooks/${webhookId}/replays/${id}`;
    await eventually(async () => (await operator('GET', at)).body.delivered === 1, { what: 'a delivery', ...PATIENCE });
  }
  expect(scenario.receiver.at(`/${user}-crm`)).toHaveLength(1);
});

test('only what ended by one cause is sent again, of every user', async () => {
  const mine = await webhookThatGot(507);
  await publishTo([mine], 1);
  user = `${user}-other`;
  const theirs = await webhookThatGot(507);
  const another = await webhookThatGot(500, 'another');
  await publishTo([theirs, another], 2);
  const { body } = await replays({ http_statuses: [507], since: SINCE, dry_run: true });
  expect(body.replays.map((replay: any) => replay.webhook_id)).toEqual([mine, theirs].toSorted());
});

test('a webhook that has such a replay is skipped, with the reason; and a call that is repeated with its key gets its first answer', async () => {
  // Of a paused webhook no replay ends.
  const webhook = await webhookThatGot(500);
  await publishTo([webhook], 1);
  await operator('POST', `/api/v1/webhooks/${webhook}/pause`, {});
  const call = { user_id: user, idempotency_key: `many-${user}` };
  const first = await replays(call);
  expect(first.body.replays).toHaveLength(1);
  expect(await replays({ user_id: user })).toMatchObject({
    status: 202,
    body: { replays: [], skipped: [{ webhook_id: webhook, code: 'replay_exists' }] },
  });
  expect((await replays(call)).body).toEqual(first.body);
});

test('a call takes a hundred webhooks, and the next one those behind', async () => {
  const { pool } = scenario.service.database;
  const ids = Array.from({ length: 101 }, () => newId('webhook', Date.now())).toSorted();
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select id, $2, 'https://example.com/', '["order.created"]', 's', 'h' from unnest($1::text[]) id`,
    [ids, user],
  );
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, failed_at)
     select d.id, 'event_1', d.webhook_id, $3, 'order.created', 'failed', 1, now()
     from unnest($1::text[], $2::text[]) d (id, webhook_id)`,
    [ids.map(() => newId('delivery', Date.now() - 1000)), ids, user],
  );
  const first = await replays({ user_id: user, dry_run: true });
  const second = await replays({ user_id: user, dry_run: true, page_token: first.body.next_page_token });
  const found = [first, second].map(({ body }) => body.replays.map((replay: any) => replay.webhook_id));
  expect(found).toEqual([ids.slice(0, 100), ids.slice(100)]);
  expect(second.body.next_page_token).toBe('');
  // A user may have twenty that have not ended.
  const made = await replays({ user_id: user });
  expect(made.body.replays).toHaveLength(20);
  expect(made.body.skipped).toHaveLength(80);
  expect(made.body.skipped[0]).toMatchObject({ webhook_id: ids[20], code: 'replay_limit_reached' });
});

test.each([
  [{}, 'since'],
  [{ statuses: ['failed'], until: SINCE }, 'since'],
  [{ since: SINCE, until: '2024-01-01T00:00:00Z' }, 'until'],
  [{ since: SINCE, error_codes: ['bad_mood'] }, 'error_codes[0]'],
  [{ since: SINCE, rate: 0 }, 'rate'],
  [{ since: SINCE, page_token: 'soon' }, 'page_token'],
])('%j is refused for its %s', async (body, field) => {
  const { status, body: answer } = await replays(body);
  expect({ status, field: answer.error.details[0]?.field }).toEqual({ status: 400, field });
});

test('a developer may not', async () => {
  const developer = await scenario.service.as(user);
  const { status, body } = await developer('POST', '/api/v1/replays', { user_id: user });
  expect([status, body.error.reason]).toEqual([403, 'role_not_allowed']);
});
