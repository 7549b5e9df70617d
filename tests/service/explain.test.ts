// Every rule that can stop an event on its way to a webhook is named by the explanation, and no rule is forgotten.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deliveryRules, type DeliveryRule } from '../../src/domain/delivery-rules.ts';
import { newId } from '../../src/domain/ids.ts';
import { Hold } from '../../src/persistence/delivery-state.ts';
import { deliveryIdOf } from '../../src/persistence/matching.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { explainDelivery, explainEvent } from '../../src/service/explain.ts';
import type { Explanation } from '../../src/service/explanation.ts';
import { addDelivery, admin, alice, mallory, orders, someWebhook, startManagement, type Management } from './management.ts';

let management: Management;

beforeAll(async () => {
  management = await startManagement({ MAX_WEBHOOKS_PER_USER: '1000' });
});
afterAll(() => management.close());

const run = (text: string, ...values: unknown[]) => management.database.pool.query(text, values);
const webhook = async (): Promise<string> => (await someWebhook(management, alice, { events: ['order.created'] })).id;

/** An event as publishing leaves it behind, a moment from now: after the webhook was made. */
async function anEvent(
  columns: { userId?: string; eventType?: string; broadcast?: boolean; agoSeconds?: number } = {},
): Promise<string> {
  const id = newId('event', Date.now());
  await run(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast, created_at)
     values ($1, $2, '{}', now(), 'orders', $3, $4, now() + interval '1 second' - $5::float8 * interval '1 second')`,
    id,
    columns.eventType ?? 'order.created',
    columns.broadcast === true ? [] : [columns.userId ?? 'alice'],
    columns.broadcast ?? false,
    columns.agoSeconds ?? 0,
  );
  return id;
}

interface Asked {
  readonly webhookId: string;
  readonly eventId?: string;
  readonly deliveryId?: string;
}

/** A delivery to a webhook of its own, then changed. */
async function delivery(
  status: 'pending' | 'retrying' | 'failed' | 'cancelled' | 'delivered',
  change = '',
  ofWebhook = '',
): Promise<Asked> {
  const webhookId = await webhook();
  const deliveryId = await addDelivery(management, { webhookId, status });
  if (change !== '') await run(`update deliveries set ${change} where id = $1`, deliveryId);
  if (ofWebhook !== '') await run(`update webhook_endpoints set ${ofWebhook} where id = $1`, webhookId);
  return { webhookId, deliveryId };
}

const explained = (asked: Asked, context = management.context): Promise<Explanation> =>
  explainDelivery(context, admin, { eventId: '', deliveryId: '', ...asked });

const isDue = 'next_attempt_at = now()';

/** For each rule, how it comes to stop something. */
const situations: Readonly<Record<DeliveryRule, () => Promise<Asked>>> = {
  registered: async () => ({ eventId: await anEvent({ agoSeconds: 3600 }), webhookId: await webhook() }),
  audience: async () => ({ webhookId: await webhook(), eventId: await anEvent({ userId: 'bob' }) }),
  active: async () => {
    const webhookId = await webhook();
    await run('update webhook_endpoints set is_active = false where id = $1', webhookId);
    return { webhookId, eventId: await anEvent() };
  },
  event_type: async () => ({ webhookId: await webhook(), eventId: await anEvent({ eventType: 'tip.received' }) }),
  filter: async () => {
    const { id: webhookId } = await someWebhook(management, alice, { events: ['order.created'], filter: '$.n == 1' });
    return { webhookId, eventId: await anEvent() };
  },
  matched_then: async () => ({ webhookId: await webhook(), eventId: await anEvent() }),
  not_cancelled: () => delivery('cancelled'),
  in_time: () => delivery('pending', `deliver_before = now()`),
  newest: () => delivery('cancelled', `cancel_reason = 'superseded', ordering_key = 'a', collapse_key = 'b'`),
  not_gone: () => delivery('failed', 'http_status = 410'),
  not_lost: () => delivery('failed', `error_code = 'lease_expired', http_status = null`),
  retries_left: () => delivery('failed'),
  not_paused: () => delivery('pending', 'next_attempt_at = null, held_at = now()', `hold = ${Hold.paused}`),
  turn: () => delivery('pending', `next_attempt_at = null, ordering_key = 'a', sequence = 2, waits = true`),
  secret_key: () => delivery('retrying', isDue),
  due: () => delivery('retrying'),
  not_leased: () => delivery('retrying', `${isDue}, leased_until = now() + interval '1 minute'`),
  receiver_there: () => delivery('retrying', `${isDue}, error_code = 'timeout'`, 'consecutive_failures = 5'),
  rate_limit: () => delivery('retrying', isDue, 'rate_limit = 5'),
  place: () => delivery('pending', isDue),
};

test.each(deliveryRules)(
  'what is stopped by %s is said to be: all before it passed, all behind it not reached',
  async (rule) => {
    const asked = await situations[rule]();
    // Another key than the one that the secret is sealed under.
    const others = new SecretBox([`k2:${Buffer.alloc(32).toString('base64')}`]);
    const context = rule === 'secret_key' ? { ...management.context, secretBox: others } : management.context;
    const explanation = await explained(asked, context);
    const at = deliveryRules.indexOf(rule);
    expect(explanation.rules.map(({ code }) => code)).toEqual([...deliveryRules]);
    expect(explanation.rules.map(({ result }) => result)).toEqual(
      deliveryRules.map((_, index) => (index < at ? 'passed' : index > at ? 'not_reached' : 'stopped_here')),
    );
    expect(explanation.summary).toBe(explanation.rules[at]?.message);
    for (const { message } of explanation.rules) expect(message).toMatch(/^\S.{10,}[.]$/);
  },
);

test.each<[string, () => Promise<Asked>, string, RegExp]>([
  ['delivered', () => delivery('delivered'), 'delivered', /^Delivered at .*Z, with attempt 1\.$/],
  [
    'waiting for a retry',
    () => delivery('retrying', `error_message = 'The receiver answered 500.'`),
    'waiting',
    /^The receiver answered 500\. It is sent again at 2\d{3}-/,
  ],
  [
    'given up',
    () => delivery('failed', `error_message = 'The receiver answered 500.'`),
    'ended',
    /after 1 attempts\. The receiver answered 500\.$/,
  ],
  [
    'of no interest to the webhook',
    situations.event_type,
    'not_owed',
    /is tip\.received; the webhook is subscribed to order\.created/,
  ],
  [
    'too late',
    () => delivery('cancelled', `cancel_reason = 'expired', deliver_before = '2026-01-01'`),
    'ended',
    /before 2026-01-01T00:00:00/,
  ],
  ['cancelled', () => delivery('cancelled', `cancel_reason = 'retention'`), 'ended', /kept no longer/],
  [
    'waiting for a webhook that was disabled',
    () => delivery('pending', isDue, 'is_active = false'),
    'ended',
    /being cancelled/,
  ],
  ['a test', () => delivery('failed', `last_trigger = 'test'`), 'ended', /A test is not sent again/],
])('a delivery that is %s has its verdict and a sentence', async (_, situation, verdict, summary) => {
  expect(await explained(await situation())).toMatchObject({ verdict, summary: expect.stringMatching(summary) });
});

test.each([
  ['paused', `hold = ${Hold.paused}, paused_reason = 'failing'`, 'held_at = now()'],
  ['disabled', `is_active = false, disabled_reason = 'failing'`, isDue],
])(
  'of a webhook that the service has %s for failing, it says when the receiver is asked whether it is back',
  async (_, state, change) => {
    const asked = await delivery('pending', change, `${state}, next_probe_at = '2031-01-02T03:04:05Z'`);
    expect((await explained(asked)).summary).toContain('Its receiver is asked at 2031-01-02T03:04:05.000Z whether it is back.');
  },
);

test('a delivery is found by its event, by the id that both make', async () => {
  const webhookId = await webhook();
  const eventId = await anEvent();
  const made = await addDelivery(management, { webhookId, eventId, status: 'delivered' });
  await run(`update deliveries set id = ${deliveryIdOf('$2', '$3')} where id = $1`, made, eventId, webhookId);
  const explanation = await explained({ webhookId, eventId });
  expect(explanation).toMatchObject({ verdict: 'delivered', eventId, webhookId });
  expect(explanation.deliveryId).toMatch(/^delivery_/);
});

describe('who may ask', () => {
  const ask = (webhookId: string, eventId: string, principal = alice) =>
    explainDelivery(management.context, principal, { webhookId, eventId, deliveryId: '' });

  test('a developer gets explanations of events that concern them; others look like events that never were', async () => {
    const webhookId = await webhook();
    expect(await ask(webhookId, await anEvent())).toMatchObject({ verdict: 'not_owed' });
    expect(await ask(webhookId, await anEvent({ broadcast: true }))).toMatchObject({ verdict: 'not_owed' });
    const foreign = await anEvent({ userId: 'bob' });
    const never = newId('event', Date.now());
    const refusals = await Promise.all([foreign, never].map((id) => ask(webhookId, id).catch((error: Error) => error)));
    for (const told of refusals) expect(told).toMatchObject({ code: 'not_found', message: 'There is no such event.' });
    expect(await ask(webhookId, foreign, admin)).toMatchObject({ verdict: 'not_owed' });
  });

  test('no caller gets anything of another user’s webhook or of a delivery to another webhook', async () => {
    const { webhookId, deliveryId = '' } = await delivery('delivered');
    await expect(ask(webhookId, await anEvent(), mallory)).rejects.toMatchObject({ code: 'not_found' });
    const other = await webhook();
    await expect(
      explainDelivery(management.context, alice, { webhookId: other, eventId: '', deliveryId }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });

  test('exactly one of event and delivery is to be given', async () => {
    const { webhookId, deliveryId = '' } = await delivery('delivered');
    for (const both of [
      { eventId: '', deliveryId: '' },
      { eventId: await anEvent(), deliveryId },
    ]) {
      await expect(explainDelivery(management.context, alice, { webhookId, ...both })).rejects.toMatchObject({
        reason: 'field_invalid',
        violations: [{ field: 'event_id' }],
      });
    }
  });
});

describe('of an event', () => {
  test('its publisher sees what became of it at each webhook of a user, and the best of that first', async () => {
    const zoe = { ...alice, userId: 'zoe' };
    const [deaf, waiting] = [
      await someWebhook(management, zoe, { events: ['tip.received'] }),
      await someWebhook(management, zoe, { events: ['order.created'] }),
    ];
    const eventId = await anEvent({ userId: 'zoe' });
    const made = await addDelivery(management, { webhookId: waiting.id, userId: 'zoe', eventId, status: 'pending' });
    await run(`update deliveries set id = ${deliveryIdOf('$2', '$3')} where id = $1`, made, eventId, waiting.id);
    const explanation = await explainEvent(management.context, orders, { eventId, userId: 'zoe' });
    expect(explanation).toMatchObject({
      verdict: 'waiting',
      webhooks: [
        { webhookId: waiting.id, verdict: 'waiting' },
        { webhookId: deaf.id, verdict: 'not_owed' },
      ],
    });
    expect(explanation.rules).toEqual(explanation.webhooks[0]?.rules);
  });

  test('a user without webhooks is said to have none', async () => {
    expect(await explainEvent(management.context, orders, { eventId: await anEvent(), userId: 'nobody' })).toMatchObject({
      verdict: 'not_owed',
      summary: 'The user has no webhook.',
      webhooks: [],
    });
  });

  test('another publisher’s event looks like one that never was; an admin sees all', async () => {
    const eventId = await anEvent();
    const others = { ...orders, userId: 'payments' };
    await expect(explainEvent(management.context, others, { eventId, userId: 'alice' })).rejects.toMatchObject({
      message: 'There is no such event.',
    });
    expect((await explainEvent(management.context, admin, { eventId, userId: 'nobody' })).webhooks).toEqual([]);
    await expect(explainEvent(management.context, orders, { eventId, userId: '' })).rejects.toMatchObject({
      violations: [{ field: 'user_id' }],
    });
  });
});

test('a webhook whose token server gives no token is said to wait for that, and not for its receiver', async () => {
  const asked = await delivery(
    'retrying',
    `${isDue}, error_code = 'oauth_token_refused', error_message = 'No token.'`,
    'consecutive_failures = 5',
  );
  expect((await explained(asked)).rules.find(({ result }) => result === 'stopped_here')).toMatchObject({
    code: 'receiver_there',
    message: 'No token. The last 5 attempts failed, so they are made one at a time.',
  });
});

test.each([
  ['the service key', `signs_ed25519 = true`],
  ['the key of the client certificate', `client_key = 'v1:k2:AAAA', client_certificate = '-'`],
  ['the secret at the token server', `oauth_secret = 'v1:k2:AAAA', oauth = '{}'`],
  ['the headers', `custom_headers = 'v1:k2:AAAA'`],
  [
    'an earlier secret',
    `previous_secrets = jsonb_build_array(jsonb_build_object('sealed', 'v1:k2:AAAA', 'expires_at', now() + interval '1 hour'))`,
  ],
])('a delivery that waits for the sealing key of %s is said to, as for that of its secret', async (_, ofWebhook) => {
  await run(
    `insert into service_keys (id, public_key, private_key) values ('key_elsewhere', '', 'v1:k2:AAAA') on conflict do nothing`,
  );
  const stops = async (asked: Asked) => (await explained(asked)).rules.find(({ result }) => result === 'stopped_here')?.code;
  expect(await stops(await delivery('retrying', isDue, ofWebhook))).toBe('secret_key');
  expect(await stops(await delivery('retrying', isDue))).not.toBe('secret_key');
});

test('a certificate near its end is named where something is still to be sent, or was given up for it, and nowhere else', async () => {
  const ending = `certificate_expires_at = '2026-12-01T00:00:00Z'`;
  const sentence = 'The certificate of its receiver is good until 2026-12-01T00:00:00.000Z: renew it.';
  const failedBy = (code: string): Promise<Asked> =>
    delivery('failed', `error_code = '${code}', error_message = 'No.'`, ending);
  for (const asked of [await delivery('retrying', '', ending), await failedBy('tls_certificate_expired')]) {
    const { summary, rules } = await explained(asked);
    expect(summary).toContain(sentence);
    expect(rules.find(({ result }) => result === 'stopped_here')?.message).toBe(summary);
  }
  for (const asked of [await delivery('delivered', '', ending), await failedBy('http_status'), await delivery('retrying')])
    expect((await explained(asked)).summary).not.toContain('certificate');
});
