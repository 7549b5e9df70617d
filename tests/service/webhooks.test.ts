// Managing webhooks: who may, what is kept, and what happens to deliveries.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { WebhookEndpoint } from '../../src/persistence/entities/webhook-endpoint.ts';
import { signingKey } from '../../src/security/signature.ts';
import { deleteWebhook } from '../../src/service/delete-webhook.ts';
import { getWebhook } from '../../src/service/get-webhook.ts';
import { listWebhooks, type ListWebhooksInput } from '../../src/service/list-webhooks.ts';
import { getSecret } from '../../src/service/get-secret.ts';
import { cancelRotation, completeRotation, rotateSecret } from '../../src/service/rotate-secret.ts';
import { updateWebhook, type UpdateWebhookInput } from '../../src/service/update-webhook.ts';
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
  unchanged,
} from './management.ts';

const RANDOM_ID = 'webhook_01hzy000000000000000000000';
const nothing = {
  page: 0,
  limit: 0,
  pageToken: '',
  userId: '',
  isActive: null,
  url: '',
  eventType: '',
  text: '',
  webhookIds: [],
};

let management: Management;
beforeAll(async () => {
  management = await startManagement({ MAX_WEBHOOKS_PER_USER: '5' });
});
afterAll(() => management.close());
beforeEach(async () => {
  await management.database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  management.changed.length = 0;
  management.updates.length = 0;
});

test('a new webhook answers with its secret once, and keeps it sealed', async () => {
  const created = await someWebhook(management, alice, {
    url: 'HTTPS://Example.com/hook',
    customHeaders: { 'X-Key': 'tomato' },
  });
  expect(created).toMatchObject({ userId: 'alice', url: 'https://example.com/hook', isActive: true, scope: 'user' });
  expect(signingKey(created.secret ?? '')).toBeDefined();
  const read = await getWebhook(management.context, alice, created.id);
  expect(read).toEqual({ ...created, secret: null });
  expect(read.customHeaders).toEqual({ 'X-Key': '********' });
  const stored = await row(created.id);
  expect(JSON.stringify(stored)).not.toContain(created.secret?.slice(6, -4));
  expect(JSON.stringify(stored)).not.toContain('tomato');
  const owner = { userId: 'alice', webhookId: created.id };
  expect(management.box.open('signing_secret', owner, stored.secret)).toBe(created.secret);
  expect(management.box.open('custom_headers', owner, stored.custom_headers)).toBe('{"X-Key":"tomato"}');
  expect(created.secretHint).toBe(created.secret?.slice(-4));
});

test('what is not allowed creates nothing', async () => {
  const cases: [Promise<unknown>, object][] = [
    [
      someWebhook(management, alice, { events: ['order.created', 'order.eaten'] }),
      { reason: 'event_type_unknown', fields: ['events[1]'] },
    ],
    [someWebhook(management, alice, { url: 'http://169.254.169.254/' }), { reason: 'endpoint_url_forbidden', fields: ['url'] }],
    [someWebhook(management, alice, { customHeaders: { Host: 'x' } }), { reason: 'header_forbidden' }],
    [someWebhook(management, alice, { scope: 'platform' }), { code: 'permission_denied', reason: 'role_not_allowed' }],
    [someWebhook(management, orders, { scope: 'platform' }), { code: 'permission_denied' }],
    [someWebhook(management, alice, { userId: 'mallory' }), { code: 'permission_denied' }],
  ];
  for (const [call, expected] of cases) expect(await refusal(call)).toMatchObject(expected);
  expect((await management.database.pool.query('select 1 from webhook_endpoints')).rowCount).toBe(0);
});

test('services and admins create for others; admins for the platform', async () => {
  expect(await someWebhook(management, orders, { userId: 'alice' })).toMatchObject({ userId: 'alice' });
  expect(await someWebhook(management, admin, { scope: 'platform' })).toMatchObject({ userId: 'root', scope: 'platform' });
});

test('of twenty webhooks created at once, as many succeed as a user may have', async () => {
  const calls = await Promise.allSettled(Array.from({ length: 20 }, () => someWebhook(management, alice)));
  expect(calls.filter((call) => call.status === 'fulfilled')).toHaveLength(5);
  expect(await refusal(someWebhook(management, alice))).toMatchObject({
    code: 'resource_exhausted',
    reason: 'webhook_limit_reached',
  });
  expect((await management.database.pool.query('select 1 from webhook_endpoints')).rowCount).toBe(5);
  await someWebhook(management, mallory);
});

test("another user's webhook answers like one that never was, on every call", async () => {
  const { id } = await someWebhook(management, alice);
  const { context } = management;
  const calls = [
    (webhookId: string) => getWebhook(context, mallory, webhookId),
    (webhookId: string) => updateWebhook(context, mallory, { ...unchanged, webhookId, isActive: false }),
    (webhookId: string) => rotateSecret(context, mallory, webhookId),
    (webhookId: string) => deleteWebhook(context, mallory, webhookId),
  ];
  for (const call of calls) {
    const answers = await Promise.all([id, RANDOM_ID, 'webhook_', "' or true --"].map((webhookId) => refusal(call(webhookId))));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ code: 'not_found', reason: 'not_found' });
  }
  expect((await listWebhooks(context, mallory, nothing)).items).toEqual([]);
  const asked = await refusal(listWebhooks(context, mallory, { ...nothing, userId: 'alice' }));
  expect(asked).toMatchObject({ code: 'permission_denied', reason: 'role_not_allowed' });
  expect(await getWebhook(context, alice, id)).toMatchObject({ isActive: true });
  expect(await getWebhook(context, admin, id)).toMatchObject({ id });
});

test('an update changes what is given, keeps the rest, and is announced', async () => {
  const { id } = await someWebhook(management, alice, {
    retryPolicy: { maxRetries: 7, retryDelay: undefined, timeout: 5 },
    customHeaders: { 'X-Key': 'tomato', 'X-Other': 'basil' },
  });
  const before = await row(id);
  const updated = await update(id, {
    description: 'kitchen',
    retryPolicy: { maxRetries: undefined, retryDelay: 2, timeout: undefined },
  });
  expect(updated).toMatchObject({
    description: 'kitchen',
    url: 'https://example.com/hook',
    retryPolicy: { maxRetries: 7, retryDelayMs: 2000, timeoutMs: 5000 },
    customHeaders: { 'X-Key': '********', 'X-Other': '********' },
  });
  const after = await row(id);
  expect(after.revision).toBe(before.revision + 1);
  expect(after.retry_policy).toEqual({ max_retries: 7, retry_delay: 2, timeout: 5 });
  expect(management.changed).toEqual([id, id]);
});

test('a masked header value keeps what is stored; a new set replaces, and clearing removes', async () => {
  const { id } = await someWebhook(management, alice, { customHeaders: { 'X-Key': 'tomato', 'X-Other': 'basil' } });
  const headersOf = async () =>
    management.box.open('custom_headers', { userId: 'alice', webhookId: id }, (await row(id)).custom_headers);
  await update(id, { customHeaders: { 'X-Key': '********', 'X-New': 'thyme' } });
  expect(JSON.parse(await headersOf())).toEqual({ 'X-Key': 'tomato', 'X-New': 'thyme' });
  expect((await update(id, { clearCustomHeaders: true })).customHeaders).toEqual({});
  expect((await row(id)).custom_headers).toBeNull();
});

test('an update that is refused changes nothing', async () => {
  const { id } = await someWebhook(management, alice);
  const before = await row(id);
  expect(await refusal(update(id, { description: 'x', url: 'http://10.0.0.1/' }))).toMatchObject({
    reason: 'endpoint_url_forbidden',
  });
  expect(await refusal(update(id, { description: 'x', events: ['nope'] }))).toMatchObject({ fields: ['events[0]'] });
  expect(await refusal(update(id, { description: 'x', customHeaders: { Cookie: 'x' } }))).toMatchObject({
    reason: 'header_forbidden',
  });
  expect(await row(id)).toEqual(before);
});

test('disabling cancels what is pending, updates watchers, and leaves what has ended', async () => {
  const { id } = await someWebhook(management, alice);
  const { id: other } = await someWebhook(management, alice);
  const ids = {
    pending: await addDelivery(management, { webhookId: id }),
    retrying: await addDelivery(management, { webhookId: id, status: 'retrying' }),
    delivered: await addDelivery(management, { webhookId: id, status: 'delivered' }),
    failed: await addDelivery(management, { webhookId: id, status: 'failed' }),
    elsewhere: await addDelivery(management, { webhookId: other }),
  };
  expect(await update(id, { isActive: false })).toMatchObject({ isActive: false, disabledReason: '' });
  expect(await statuses(ids)).toEqual({
    pending: 'cancelled',
    retrying: 'cancelled',
    delivered: 'delivered',
    failed: 'failed',
    elsewhere: 'pending',
  });
  const told = Object.fromEntries(management.updates.map(({ deliveryId, status }) => [deliveryId, status]));
  expect(told).toEqual({ [ids.pending]: 'cancelled', [ids.retrying]: 'cancelled' });
});

test('enabling clears what the service held against the webhook', async () => {
  const { id } = await someWebhook(management, alice);
  await management.database.pool.query(
    `update webhook_endpoints set is_active = false, disabled_reason = 'gone', disabled_at = now(), consecutive_failures = 9, failing_since = now()`,
  );
  expect(await getWebhook(management.context, alice, id)).toMatchObject({ isActive: false, disabledReason: 'gone' });
  expect(await update(id, { isActive: true })).toMatchObject({
    isActive: true,
    disabledReason: '',
    disabledAt: null,
    consecutiveFailures: 0,
    failingSince: null,
  });
});

test('a deleted webhook is gone, its pending deliveries are cancelled, and there is room for another', async () => {
  const ids = [];
  for (let i = 0; i < 5; i += 1) ids.push((await someWebhook(management, alice)).id);
  const id = ids[2] ?? '';
  const pending = await addDelivery(management, { webhookId: id });
  await deleteWebhook(management.context, alice, id);
  expect(await refusal(getWebhook(management.context, alice, id))).toMatchObject({ code: 'not_found' });
  expect(await refusal(deleteWebhook(management.context, alice, id))).toMatchObject({ code: 'not_found' });
  expect(await statuses({ pending })).toEqual({ pending: 'cancelled' });
  expect((await listWebhooks(management.context, alice, nothing)).total).toBe(4);
  await someWebhook(management, alice);
});

test('a rotated secret leads; earlier ones stay a day each, five secrets in all, and the one that signs the header among them', async () => {
  const created = await someWebhook(management, alice);
  const secrets = [created.secret];
  for (let i = 0; i < 5; i += 1) secrets.unshift((await rotateSecret(management.context, alice, created.id)).secret);
  const stored = await row(created.id);
  const owner = { userId: 'alice', webhookId: created.id };
  const open = (sealed: string) => management.box.open('signing_secret', owner, sealed);
  expect([stored.secret, ...stored.previous_secrets.map((previous) => previous.sealed)].map(open)).toEqual([
    ...secrets.slice(0, 4),
    secrets.at(-1),
  ]);
  for (const { expires_at } of stored.previous_secrets) {
    expect(Math.abs(Date.parse(expires_at) - Date.now() - 86_400_000)).toBeLessThan(10_000);
  }
  expect(stored.secret_hint).toBe(secrets[0]?.slice(-4));
  expect(management.changed).toHaveLength(6);
});

test('an expired secret does not survive the next rotation', async () => {
  const { id } = await someWebhook(management, alice);
  await rotateSecret(management.context, alice, id);
  await management.database.pool.query(
    `update webhook_endpoints set previous_secrets = jsonb_set(previous_secrets, '{0,expires_at}', '"2024-01-01T00:00:00.000Z"')`,
  );
  await rotateSecret(management.context, alice, id);
  expect((await row(id)).previous_secrets).toHaveLength(1);
});

test('an overlap is as long as was asked for, and none takes the earlier secrets out of use at once', async () => {
  const created = await someWebhook(management, alice);
  expect(created.rotationEndsAt).toBeNull();
  const { rotationEndsAt } = await rotateSecret(management.context, alice, created.id, 168);
  expect(Math.abs((rotationEndsAt?.getTime() ?? 0) - Date.now() - 168 * 3_600_000)).toBeLessThan(10_000);
  expect((await getWebhook(management.context, alice, created.id)).rotationEndsAt).toEqual(rotationEndsAt);
  const { secret, rotationEndsAt: none } = await rotateSecret(management.context, alice, created.id, 0);
  expect(none).toBeNull();
  expect(await getSecret(management.context, alice, created.id)).toEqual({ secret, previous: [] });
});

test('a rotation that is completed leaves the newest secret alone; completing it again changes nothing', async () => {
  const { id } = await someWebhook(management, alice);
  const { secret } = await rotateSecret(management.context, alice, id);
  for (let time = 0; time < 2; time += 1) {
    expect(await completeRotation(management.context, alice, id)).toMatchObject({
      secret: null,
      rotationEndsAt: null,
      secretHint: secret?.slice(-4),
    });
  }
  expect(await getSecret(management.context, alice, id)).toEqual({ secret, previous: [] });
});

test('a rotation that is cancelled leaves the secret from before without an end; with none under way that is refused', async () => {
  const created = await someWebhook(management, alice);
  await rotateSecret(management.context, alice, created.id);
  const cancelled = await cancelRotation(management.context, alice, created.id);
  expect(cancelled).toMatchObject({ secret: null, rotationEndsAt: null, secretHint: created.secret?.slice(-4) });
  expect(await getSecret(management.context, alice, created.id)).toEqual({ secret: created.secret, previous: [] });
  expect(await refusal(cancelRotation(management.context, alice, created.id))).toMatchObject({
    code: 'failed_precondition',
    reason: 'rotation_not_running',
  });
});

test('the owner reads the secrets again while they sign, and a stranger finds nothing', async () => {
  const created = await someWebhook(management, alice);
  const rotated = await rotateSecret(management.context, alice, created.id);
  expect(await getSecret(management.context, alice, created.id)).toEqual({
    secret: rotated.secret,
    previous: [{ secret: created.secret, expiresAt: rotated.rotationEndsAt }],
  });
  expect(await refusal(getSecret(management.context, mallory, created.id))).toMatchObject({ code: 'not_found' });
  for (const change of [completeRotation, cancelRotation]) {
    expect(await refusal(change(management.context, mallory, created.id))).toMatchObject({ code: 'not_found' });
  }
});

test('rotations at once lose no secret', async () => {
  const { id } = await someWebhook(management, alice);
  const rotated = await Promise.all([1, 2, 3].map(() => rotateSecret(management.context, alice, id)));
  const stored = await row(id);
  const open = (sealed: string) => management.box.open('signing_secret', { userId: 'alice', webhookId: id }, sealed);
  const kept = [stored.secret, ...stored.previous_secrets.map((previous) => previous.sealed)].map(open);
  for (const { secret } of rotated) expect(kept).toContain(secret);
  expect(kept).toHaveLength(4);
});

test('a list of webhooks is narrowed by state, URL, type and text', async () => {
  const first = await someWebhook(management, alice, { url: 'https://example.com/a_b', description: 'Kitchen 100%' });
  const second = await someWebhook(management, alice, { url: 'https://example.com/axb', events: ['tip.received'] });
  const third = await someWebhook(management, mallory, { url: 'https://example.com/a_b' });
  await updateWebhook(management.context, alice, { ...unchanged, webhookId: second.id, isActive: false });
  const ids = async (filter: Partial<ListWebhooksInput>, principal = alice) => {
    const page = await listWebhooks(management.context, principal, { ...nothing, ...filter });
    expect([page.total, page.totalIsExact]).toEqual([page.items.length, true]);
    return page.items.map(({ id }) => id);
  };
  expect(await ids({ isActive: true })).toEqual([first.id]);
  expect(await ids({ isActive: false })).toEqual([second.id]);
  expect(await ids({ url: 'HTTPS://Example.com/a_b' })).toEqual([first.id]);
  expect(await ids({ url: 'https://example.com/a' })).toEqual([]);
  expect(await ids({ eventType: 'tip.received' })).toEqual([second.id]);
  expect(await ids({ eventType: 'tip.received', isActive: true })).toEqual([]);
  // Text is text: no letter of it stands for others.
  for (const text of ['a_b', 'KITCHEN', '100%', first.id.slice(8)])
    expect([text, await ids({ text })]).toEqual([text, [first.id]]);
  expect(await ids({ text: '\\' })).toEqual([]);
  expect(await ids({ url: 'https://example.com/a_b' }, admin)).toEqual([third.id, first.id].toSorted().toReversed());
  expect(await ids({ text: 'a_b', userId: 'mallory' }, admin)).toEqual([third.id]);
  expect(await ids({ webhookIds: [first.id, third.id] })).toEqual([first.id]);
  expect(await ids({ webhookIds: [first.id, third.id] }, admin)).toEqual([third.id, first.id].toSorted().toReversed());
  expect(await refusal(ids({ eventType: 'order.eaten' }))).toMatchObject({
    reason: 'event_type_unknown',
    fields: ['event_type'],
  });
});

test('pages by number and by token show every webhook once, newest first', async () => {
  const made = [];
  for (let i = 0; i < 5; i += 1) made.push((await someWebhook(management, alice)).id);
  const ids = made.toSorted().toReversed();
  const { context } = management;
  const byNumber = await listWebhooks(context, alice, { ...nothing, page: 2, limit: 2 });
  expect(byNumber).toMatchObject({ page: 2, limit: 2, total: 5, totalIsExact: true });
  expect(byNumber.items.map(({ id }) => id)).toEqual(ids.slice(2, 4));
  const seen = [];
  for (let pageToken = '', more = true; more; more = pageToken !== '') {
    const page = await listWebhooks(context, alice, { ...nothing, limit: 2, pageToken });
    seen.push(...page.items.map(({ id }) => id));
    pageToken = page.nextPageToken;
  }
  expect(seen).toEqual(ids);
});

test("a token of another list, or of none, is refused; one of another user's page gives nothing away", async () => {
  for (let i = 0; i < 3; i += 1) await someWebhook(management, alice);
  const { nextPageToken } = await listWebhooks(management.context, alice, { ...nothing, limit: 1 });
  expect((await listWebhooks(management.context, mallory, { ...nothing, pageToken: nextPageToken })).items).toEqual([]);
  const forged = [
    'x',
    'AAAA',
    Buffer.from('v1:delivery_01hzy000000000000000000000').toString('base64url'),
    `${nextPageToken}=`,
  ];
  for (const pageToken of forged) {
    expect(await refusal(listWebhooks(management.context, alice, { ...nothing, pageToken }))).toMatchObject({
      reason: 'page_token_invalid',
    });
  }
});

function update(webhookId: string, change: Partial<UpdateWebhookInput>) {
  return updateWebhook(management.context, alice, { ...unchanged, webhookId, ...change });
}

interface StoredRow {
  readonly secret: string;
  readonly secret_hint: string;
  readonly previous_secrets: WebhookEndpoint['previousSecrets'];
  readonly custom_headers: string;
  readonly revision: number;
  readonly retry_policy: unknown;
}

async function row(id: string): Promise<StoredRow> {
  const { rows } = await management.database.pool.query<StoredRow>('select * from webhook_endpoints where id = $1', [id]);
  const [found] = rows;
  if (found === undefined) throw new Error(`there is no ${id}`);
  return found;
}

async function statuses(ids: Record<string, string>): Promise<Record<string, string>> {
  const { rows } = await management.database.pool.query<{ id: string; status: string }>('select id, status from deliveries');
  const byId = new Map(rows.map(({ id, status }) => [id, status]));
  return Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, byId.get(id) ?? 'missing']));
}
