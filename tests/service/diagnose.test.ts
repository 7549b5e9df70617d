// Who may have which receiver looked at, and what of it is counted; tests/delivery/diagnoser.test.ts has what is seen.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { diagnoseUrl, diagnoseWebhook } from '../../src/service/diagnose-webhook.ts';
import { deleteWebhook } from '../../src/service/delete-webhook.ts';
import { alice, mallory, orders, someWebhook, startManagement, type Management } from './management.ts';

let management: Management;
let webhookId: string;

beforeAll(async () => {
  management = await startManagement();
  webhookId = (await someWebhook(management, alice)).id;
});
afterAll(() => management.close());
beforeEach(() => (management.diagnosed = []));

test('a diagnosis counts against the owner of the webhook, whoever asks, and gives its place back', async () => {
  await diagnoseWebhook(management.context, alice, webhookId);
  await diagnoseWebhook(management.context, orders, webhookId);
  const once = [`admitted alice ${webhookId}`, webhookId, 'ended'];
  expect(management.diagnosed).toEqual([...once, ...once]);
});

test('of a URL it counts against who asks', async () => {
  await diagnoseUrl(management.context, mallory, 'https://example.com/hook');
  expect(management.diagnosed).toEqual(['admitted mallory mallory', 'https://example.com/hook', 'ended']);
});

test('another’s webhook, one that never was and one that was deleted look alike, and nothing is counted or tried', async () => {
  const deleted = await someWebhook(management, mallory);
  await deleteWebhook(management.context, mallory, deleted.id);
  for (const id of [webhookId, newId('webhook', Date.now()), deleted.id, 'nonsense']) {
    await expect(diagnoseWebhook(management.context, mallory, id)).rejects.toMatchObject({ code: 'not_found' });
  }
  expect(management.diagnosed).toEqual([]);
});
