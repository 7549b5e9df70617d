// The service with two developers, two publishers and an operator on it, and things that belong to one of them.
import { randomBytes } from 'node:crypto';
import { newId } from '../../src/domain/ids.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { eventData, PUBLISHER, type Things } from './cases.ts';

export interface World {
  readonly service: TestApp;
  readonly receiver: Receiver;
  /** A webhook of the user and a delivery to it, made. */
  make(userId: string): Promise<Things>;
  /** Ids of the same form that no user has. */
  invent(): Things;
  /** All that the database holds of the things, as text, once no attempt is under way. */
  rows(of: Things): Promise<string>;
  close(): Promise<void>;
}

export async function openWorld(env: Readonly<Record<string, string>> = {}): Promise<World> {
  const receiver = await startReceiver();
  const service = await startApp({
    env: { MAX_WEBHOOKS_PER_USER: '10000', RATE_LIMIT_PER_MINUTE: '1000000', DIAGNOSES_PER_MINUTE: '100000', ...env },
  });
  const { pool } = service.database;
  return {
    service,
    receiver,
    async make(userId) {
      const developer = await service.as(userId);
      const publisher = await service.as(PUBLISHER, 'service');
      const cursor = String(Date.now() * 1000);
      const idempotencyKey = randomBytes(8).toString('hex');
      const { body: webhook } = await developer('POST', '/api/v1/webhooks', {
        url: receiver.url(`/${userId}`),
        events: ['order.created'],
      });
      const { body: published } = await publisher('POST', '/api/v1/events', {
        event_type: 'order.created',
        data: eventData,
        audience: { user_ids: [userId] },
        idempotency_key: idempotencyKey,
      });
      const deliveryId = await eventually(
        async () => {
          const { rows } = await pool.query(
            `select id from deliveries where event_id = $1 and webhook_id = $2 and status = 'delivered'`,
            [published.event_id, webhook.id],
          );
          return rows[0]?.id as string | undefined;
        },
        { what: 'a delivery', deadlineMs: 30_000 },
      );
      const { body: replay } = await developer('POST', `/api/v1/webhooks/${webhook.id}/replays`, {});
      return {
        userId,
        webhookId: webhook.id,
        eventId: published.event_id,
        deliveryId,
        replayId: replay.id,
        cursor,
        idempotencyKey,
        ...pages(),
      };
    },
    invent: () => ({
      userId: `nobody-${randomBytes(4).toString('hex')}`,
      webhookId: newId('webhook', Date.now()),
      eventId: newId('event', Date.now()),
      deliveryId: newId('delivery', Date.now()),
      replayId: newId('replay', Date.now()),
      cursor: String(Date.now() * 1000),
      idempotencyKey: randomBytes(8).toString('hex'),
      ...pages(),
    }),
    async rows(of) {
      // A webhook that was resumed, or has a replay, goes on changing until that has ended.
      const isAtRest = async (): Promise<boolean> => {
        const moving = await pool.query(
          `select from deliveries where id = $1 and next_attempt_at is not null
           union all select from webhook_endpoints where id = $2 and (is_gathering or release_id is not null)
           union all select from releases where webhook_id = $2 and ended_at is null`,
          [of.deliveryId, of.webhookId],
        );
        return moving.rowCount === 0;
      };
      await eventually(isAtRest, { what: 'a delivery at rest', deadlineMs: 30_000 });
      const { rows } = await pool.query(
        `select jsonb_build_array(
           (select jsonb_agg(to_jsonb(w)) from webhook_endpoints w where id = $1),
           (select jsonb_agg(to_jsonb(d)) from deliveries d where id = $2),
           (select jsonb_agg(to_jsonb(a)) from attempts a where delivery_id = $2),
           (select jsonb_agg(to_jsonb(e)) from events e where id = $3),
           (select jsonb_agg(to_jsonb(r)) from releases r where id = $4))::text as everything`,
        [of.webhookId, of.deliveryId, of.eventId, of.replayId],
      );
      return rows[0].everything as string;
    },
    async close() {
      await service.close();
      await receiver.close();
    },
  };
}

// From a minute ahead, so that whatever exists now comes next.
function pages() {
  const before = (id: string): string => Buffer.from(`v1:${id}`).toString('base64url');
  const ahead = Date.now() + 60_000;
  return {
    webhookPage: before(newId('webhook', ahead)),
    deliveryPage: before(newId('delivery', ahead)),
    eventPage: before(newId('event', ahead)),
  };
}
