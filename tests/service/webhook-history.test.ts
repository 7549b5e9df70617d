// The history of a webhook: every change is kept with who made it, in the transaction of the change, and without secrets.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { MAX_VALUE_LENGTH, type WebhookAction, webhookActions } from '../../src/domain/webhook-change.ts';
import { disableWebhook } from '../../src/persistence/queries/disable-webhook.ts';
import { pauseFailingWebhook } from '../../src/persistence/queries/pause-failing-webhook.ts';
import { MAX_CHANGES } from '../../src/persistence/queries/webhook-changes.ts';
import { deleteWebhook } from '../../src/service/delete-webhook.ts';
import { getSecret } from '../../src/service/get-secret.ts';
import { getWebhookHistory } from '../../src/service/get-webhook-history.ts';
import { getWebhook } from '../../src/service/get-webhook.ts';
import { pauseWebhook, resumeWebhook } from '../../src/service/pause-webhook.ts';
import { cancelRotation, completeRotation, rotateSecret } from '../../src/service/rotate-secret.ts';
import { updateWebhook, type UpdateWebhookInput } from '../../src/service/update-webhook.ts';
import type { WebhookView } from '../../src/service/webhook-view.ts';
import { admin, alice, type Management, mallory, refusal, someWebhook, startManagement, unchanged } from './management.ts';

let management: Management;
beforeAll(async () => {
  management = await startManagement();
});
afterAll(() => management.close());
beforeEach(() => management.database.pool.query('truncate webhook_endpoints, webhook_changes'));

const change = (webhookId: string, input: Partial<UpdateWebhookInput>) =>
  updateWebhook(management.context, alice, {
    ...unchanged,
    webhookId,
    ...input,
  });

const history = async (webhookId: string, principal = alice) =>
  (await getWebhookHistory(management.context, principal, { webhookId, limit: 100, pageToken: '' })).changes;

interface Step {
  readonly action: WebhookAction;
  readonly run: (webhookId: string) => Promise<unknown>;
}

/** In an order in which each changes something. */
const steps: Readonly<Record<string, Step>> = {
  UpdateWebhook: { action: 'updated', run: (id) => change(id, { description: 'Till' }) },
  RotateSecret: { action: 'secret_rotated', run: (id) => rotateSecret(management.context, alice, id) },
  CancelRotation: { action: 'rotation_cancelled', run: (id) => cancelRotation(management.context, alice, id) },
  CompleteRotation: {
    action: 'rotation_completed',
    run: async (id) => {
      await rotateSecret(management.context, alice, id);
      await completeRotation(management.context, alice, id);
    },
  },
  PauseWebhook: { action: 'paused', run: (id) => pauseWebhook(management.context, alice, id) },
  ResumeWebhook: { action: 'resumed', run: (id) => resumeWebhook(management.context, alice, id, null) },
  DeleteWebhook: { action: 'deleted', run: (id) => deleteWebhook(management.context, alice, id) },
};
/** They send something or change something else, and change no webhook. */
const changesNothing = new Set([
  'TestWebhook',
  'DiagnoseWebhook',
  'DiagnoseUrl',
  'TestFilter',
  'CreateEventType',
  'UpdateEventType',
  'RotateServiceKey',
]);

test('every call that changes a webhook leaves one entry of its own, and no call was forgotten', async () => {
  const changing = WebhookService.methods
    .filter(({ idempotency }) => idempotency !== IdempotencyLevel.NO_SIDE_EFFECTS)
    .map(({ name }) => name)
    .filter((name) => !changesNothing.has(name));
  // A new call is added to `steps`, or to `changesNothing`.
  expect(new Set(changing)).toEqual(new Set(['CreateWebhook', ...Object.keys(steps)]));

  const { id } = await someWebhook(management, alice);
  const expected: WebhookAction[] = ['created'];
  expect(await history(id)).toMatchObject([{ action: 'created', by: 'alice', reason: '' }]);
  for (const [name, { action, run }] of Object.entries(steps)) {
    await run(id);
    if (name === 'CompleteRotation') expected.push('secret_rotated');
    expected.push(action);
    expect((await history(id)).map((entry) => entry.action).toReversed()).toEqual(expected);
  }
  // What no call of WebhookService does is in the tests below.
  expect(new Set([...expected, 'secret_read', 'disabled', 'enabled', 'probing_ended'])).toEqual(new Set(webhookActions));
});

test('every statement that writes webhooks writes the history too, or has a reason not to', () => {
  const excused: Readonly<Record<string, string>> = {
    'persistence/queries/note-certificate.ts': 'notes what a handshake showed',
    'persistence/queries/notice-client-certificate.ts': 'remembers which notices there were',
    'persistence/queries/notice-failing.ts': 'remembers which notices there were',
    'persistence/queries/record-first-successes.ts': 'counts failures',
    'persistence/queries/record-outcomes.ts': 'counts failures',
    'persistence/queries/release-states.ts': 'ends a hold that a caller has resumed, or moves deliveries into it',
    'persistence/queries/sealed-webhooks.ts': 'seals the same secrets under another key',
    'maintenance/housekeeper.ts': 'drops secrets that no longer sign',
  };
  const root = fileURLToPath(new URL('../../src/', import.meta.url));
  const writing = globSync('**/*.ts', { cwd: root }).filter((file) => {
    const source = readFileSync(root + file, 'utf8');
    const writes = /(update|insert into) webhook_endpoints|\.create\(WebhookEndpoint/.test(source);
    return writes && !/insert into webhook_changes|insertWebhookChange/.test(source);
  });
  expect(writing.toSorted()).toEqual(Object.keys(excused).toSorted());
  const locking = globSync('**/*.ts', { cwd: root }).filter((file) =>
    /findWebhook\([^;]*lock: true/.test(readFileSync(root + file, 'utf8')),
  );
  // A replay is of a webhook and leaves it as it is; the lock keeps two of the same selection apart.
  expect(locking.toSorted()).toEqual(['service/change-webhook.ts', 'service/replay.ts']);
});

test('an entry names the fields that differ, as they were and as they are', async () => {
  const { id } = await someWebhook(management, alice, { description: 'Till' });
  await change(id, {
    url: 'https://example.com/other',
    events: ['order.created'],
    rateLimit: 5,
    isActive: false,
    retryPolicy: { maxRetries: 7, retryDelay: undefined, timeout: undefined },
  });
  expect((await history(id))[0]).toEqual({
    at: expect.any(Date),
    by: 'alice',
    action: 'updated',
    reason: '',
    fields: [
      { field: 'url', old: 'https://example.com/hook', new: 'https://example.com/other' },
      { field: 'events', old: ['order.created', 'payment.success'], new: ['order.created'] },
      { field: 'is_active', old: true, new: false },
      { field: 'retry_policy', old: {}, new: { max_retries: 7 } },
      { field: 'rate_limit', old: 0, new: 5 },
    ],
  });
});

test('a call that sets what was set already leaves no entry', async () => {
  const { id } = await someWebhook(management, alice, { description: 'Till' });
  await change(id, { description: 'Till', isActive: true });
  await completeRotation(management.context, alice, id);
  await resumeWebhook(management.context, alice, id, null);
  expect(await history(id)).toHaveLength(1);
});

test('nothing is kept of a change that is rolled back', async () => {
  const { id } = await someWebhook(management, alice);
  const once = {
    recognise: () => Promise.resolve(),
    take: () => Promise.resolve(),
    keep: () => Promise.reject(new Error('the answer cannot be kept')),
  };
  await expect(pauseWebhook(management.context, alice, id, once)).rejects.toThrow('cannot be kept');
  await expect(rotateSecret(management.context, alice, id, 24, once)).rejects.toThrow('cannot be kept');
  expect(await refusal(change(id, { description: 'Till', etag: 'r99' }))).toMatchObject({ reason: 'etag_mismatch' });
  expect(await history(id)).toHaveLength(1);
});

test('secrets, header values and passwords in URLs are in no entry', async () => {
  const created = await someWebhook(management, alice, { customHeaders: { 'X-Key': 'tomato' } });
  const rotated = await rotateSecret(management.context, alice, created.id);
  await change(created.id, { customHeaders: { 'X-Key': 'potato' } });
  // Refused today; of versions that took it.
  await management.database.pool.query(`update webhook_endpoints set url = 'https://user:pumpkin@example.com/'`);
  await change(created.id, { url: 'https://example.com/hook' });
  const { rows } = await management.database.pool.query('select * from webhook_changes');
  const text = JSON.stringify(rows);
  for (const secret of [created, rotated].map((webhook: WebhookView) => webhook.secret?.slice(6, -4) ?? '')) {
    expect(text).not.toContain(secret);
  }
  expect(text).not.toMatch(/tomato|potato|pumpkin/);
  expect(await history(created.id)).toMatchObject([
    { fields: [{ field: 'url', new: 'https://example.com/hook' }] },
    { fields: [{ field: 'custom_headers', old: ['X-Key'], new: ['X-Key'] }] },
    { fields: [{ field: 'secret_hint', old: created.secretHint, new: rotated.secretHint }, { field: 'rotation_ends_at' }] },
    { action: 'created' },
  ]);
});

test('that the secret was read is kept, once an hour and reader', async () => {
  const { id } = await someWebhook(management, alice);
  await getSecret(management.context, alice, id);
  await getSecret(management.context, alice, id);
  await getSecret(management.context, admin, id);
  expect(await history(id)).toMatchObject([
    { action: 'secret_read', by: 'root', fields: [] },
    { action: 'secret_read', by: 'alice', fields: [] },
    { action: 'created' },
  ]);
  await management.database.pool.query(`update webhook_changes set at = at - interval '61 minutes'`);
  await getSecret(management.context, alice, id);
  expect(await history(id)).toHaveLength(4);
});

test('what the service does itself is kept with its reason', async () => {
  const { id } = await someWebhook(management, alice);
  await disableWebhook(management.database.pool, id, 'gone');
  // It is disabled already.
  await disableWebhook(management.database.pool, id, 'failing');
  await change(id, { isActive: true });
  expect(await history(id)).toMatchObject([
    {
      action: 'updated',
      by: 'alice',
      fields: [
        { field: 'is_active', new: true },
        { field: 'disabled_reason', new: null },
      ],
    },
    {
      action: 'disabled',
      by: 'system',
      reason: 'gone',
      fields: [
        { field: 'is_active', old: true, new: false },
        { field: 'disabled_reason', old: null, new: 'gone' },
      ],
    },
    { action: 'created' },
  ]);
});

test('a webhook that the service pauses for failing, and its owner resumes, says both', async () => {
  const { id } = await someWebhook(management, alice, { onFailing: 'hold' });
  await pauseFailingWebhook(management.database.pool, id);
  await pauseFailingWebhook(management.database.pool, id);
  await resumeWebhook(management.context, alice, id, null);
  expect(await history(id)).toMatchObject([
    { action: 'resumed', by: 'alice', reason: '' },
    {
      action: 'paused',
      by: 'system',
      reason: 'failing',
      fields: [
        { field: 'paused', old: false, new: true },
        { field: 'paused_reason', old: null, new: 'failing' },
      ],
    },
    { action: 'created' },
  ]);
});

test('a long value keeps its beginning', async () => {
  const { id } = await someWebhook(management, alice);
  // One character of two code units lies across the end.
  await change(id, { url: `https://example.com/${'a'.repeat(2000)}`, description: `${'b'.repeat(MAX_VALUE_LENGTH - 1)}🍅` });
  const [entry] = await history(id);
  for (const { new: value } of entry?.fields ?? []) expect(value).toHaveLength(MAX_VALUE_LENGTH + 1);
  expect(entry?.fields).toHaveLength(2);
});

test('the newest entries of a webhook are kept, as many as fit', async () => {
  const { id } = await someWebhook(management, alice);
  const other = await someWebhook(management, alice);
  await management.database.pool.query(
    `insert into webhook_changes (webhook_id, action, by_user) select $1, 'updated', 'alice' from generate_series(1, ${MAX_CHANGES})`,
    [id],
  );
  await change(id, { description: 'Till' });
  await change(id, { description: 'Kitchen' });
  const { rows } = await management.database.pool.query(
    `select count(*)::integer as count, bool_or(action = 'created') as has_first from webhook_changes where webhook_id = $1`,
    [id],
  );
  expect(rows).toEqual([{ count: MAX_CHANGES, has_first: false }]);
  expect(await history(other.id)).toHaveLength(1);
});

test('pages show each entry once, newest first, also while new ones come', async () => {
  const { id } = await someWebhook(management, alice);
  for (let round = 1; round <= 6; round += 1) await change(id, { rateLimit: round });
  const seen: unknown[] = [];
  let pageToken = '';
  do {
    const page = await getWebhookHistory(management.context, alice, { webhookId: id, limit: 3, pageToken });
    seen.push(...page.changes.map(({ fields }) => (fields.length === 1 ? fields[0]?.new : 'created')));
    pageToken = page.nextPageToken;
    await change(id, { rateLimit: 100 + seen.length });
  } while (pageToken !== '');
  expect(seen).toEqual([6, 5, 4, 3, 2, 1, 'created']);
  for (const token of ['nonsense', Buffer.from('v1:0').toString('base64url'), Buffer.from(`v1:${id}`).toString('base64url')]) {
    const call = getWebhookHistory(management.context, alice, { webhookId: id, limit: 3, pageToken: token });
    expect(await refusal(call)).toMatchObject({ reason: 'page_token_invalid', fields: ['page_token'] });
  }
});

test('a deleted webhook keeps its history for its owner and for operators, and strangers find nothing', async () => {
  const { id } = await someWebhook(management, alice);
  expect(await refusal(history(id, mallory))).toMatchObject({ code: 'not_found' });
  await deleteWebhook(management.context, admin, id);
  expect(await refusal(getWebhook(management.context, alice, id))).toMatchObject({ code: 'not_found' });
  for (const principal of [alice, admin]) {
    expect(await history(id, principal)).toMatchObject([
      { action: 'deleted', by: 'root' },
      { action: 'created', by: 'alice' },
    ]);
  }
  expect(await refusal(history(id, mallory))).toMatchObject({ code: 'not_found' });
});
