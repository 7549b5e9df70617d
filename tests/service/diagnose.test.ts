// Who may have which receiver looked at, and what of it is counted; tests/delivery/diagnoser.test.ts has what is seen.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ServiceError } from '../../src/domain/errors.ts';
import { newId } from '../../src/domain/ids.ts';
import { createDiagnosed, diagnoseUrl, diagnoseWebhook } from '../../src/service/diagnose-webhook.ts';
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

test('a diagnosis counts against the owner of the webhook, for every caller, and gives its place back', async () => {
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

test('a webhook is registered with a diagnosis, which counts against its owner', async () => {
  const { created, diagnosis } = await createDiagnosed(management.context, orders, 'alice', () =>
    someWebhook(management, orders, { userId: 'alice' }),
  );
  expect(diagnosis).toEqual({ verdict: 'ok', steps: [] });
  expect(management.diagnosed).toEqual(['admitted alice alice', created.id, 'ended']);
});

test('when no diagnosis is left, or the webhook is refused, nothing is registered and no place is kept', async () => {
  const count = async () =>
    Number((await management.database.pool.query('select count(*) from webhook_endpoints')).rows[0].count);
  const before = await count();
  management.diagnosed = null;
  await expect(createDiagnosed(management.context, alice, '', () => someWebhook(management, alice))).rejects.toMatchObject({
    reason: 'diagnose_limit_reached',
  });
  management.diagnosed = [];
  await expect(
    createDiagnosed(management.context, alice, '', () => someWebhook(management, alice, { url: 'ftp://example.com' })),
  ).rejects.toMatchObject({ reason: 'endpoint_url_invalid' });
  expect(management.diagnosed).toEqual(['admitted alice alice', 'ended']);
  await expect(
    createDiagnosed(management.context, mallory, 'alice', () => someWebhook(management, mallory, { userId: 'alice' })),
  ).rejects.toMatchObject({ reason: 'role_not_allowed' });
  expect(await count()).toBe(before);
});

test('a webhook that is registered is answered although there was no socket to look at it', async () => {
  const { context } = management;
  const overloaded = async () => Promise.reject(new ServiceError('overloaded', 'no socket'));
  const short = { ...context, diagnoser: { ...context.diagnoser, ofWebhook: overloaded } };
  const { created, diagnosis } = await createDiagnosed(short, alice, '', () => someWebhook(management, alice));
  expect(created.secret).toMatch(/^whsec_/);
  expect(diagnosis).toBeNull();
});
