// What the form of a webhook sends: what was changed, and nothing else.
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { draftOf, toCreate, toUpdate, type WebhookDraft } from '../../console/pages/webhooks/webhook-draft.ts';
import { WebhookSchema } from '../../gen/homechef/webhook/v1/webhook_pb.ts';

const oauth = { tokenUrl: 'https://id.example/token', clientId: 'till', scope: 'write', audience: '' };
const webhook = create(WebhookSchema, {
  id: 'webhook_1',
  url: 'https://till.example/',
  events: ['order.created'],
  fields: ['$.order_id', '$.items[*].name'],
  clientCertificate: { certificate: 'PEM' },
  oauth,
});

function changed(changes: Partial<WebhookDraft>): object {
  const { webhookId: _, clearCustomHeaders: __, ...sent } = toUpdate(webhook, { ...draftOf(webhook), ...changes });
  return sent;
}

test('a form that was not touched sends nothing', () => {
  expect(changed({})).toEqual({});
});

test('fields are one a line, and none are a reset', () => {
  expect(draftOf(webhook).fields).toBe('$.order_id\n$.items[*].name');
  expect(changed({ fields: ' $.order_id \n\n' })).toEqual({ fields: ['$.order_id'] });
  expect(changed({ fields: ' \n' })).toEqual({ fields: [], reset: ['fields'] });
});

test('the secret of a client is sent when it is typed, and kept when it is not', () => {
  const draft = draftOf(webhook).oauth;
  expect(draft.clientSecret).toBe('');
  expect(changed({ oauth: { ...draft, scope: 'read' } })).toEqual({ oauth: { ...oauth, scope: 'read', clientSecret: '' } });
  expect(changed({ oauth: { ...draft, clientSecret: 'new' } })).toEqual({ oauth: { ...oauth, clientSecret: 'new' } });
});

test('what was emptied goes back to its default, all of it', () => {
  const emptied = { ...draftOf(webhook).oauth, tokenUrl: ' ' };
  expect(changed({ oauth: emptied, clientCertificate: '', fields: '' })).toEqual({
    fields: [],
    reset: ['client_certificate', 'oauth', 'fields'],
  });
});

test('a new webhook has what was typed alone', () => {
  const { oauth: client, clientCertificate, fields } = toCreate({ ...draftOf(webhook), clientCertificate: '', fields: '' });
  expect([client, clientCertificate, fields]).toEqual([{ ...oauth, clientSecret: '' }, undefined, []]);
});
