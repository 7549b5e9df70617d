// What the tests of management calls stand on: a context on a database of their own, and the rows that publishing would have made.
import type { UpdateWebhookInput } from '../../src/service/update-webhook.ts';
import { randomBytes } from 'node:crypto';
import { toConfig } from '../../src/config.ts';
import type { DeliveryStatus, Outcome } from '../../src/domain/delivery.ts';
import { ServiceError } from '../../src/domain/errors.ts';
import { newId } from '../../src/domain/ids.ts';
import { createOrm } from '../../src/persistence/orm.ts';
import { Reports } from '../../src/persistence/reports.ts';
import type { Scheduled } from '../../src/schedule/scheduler.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import type { Principal } from '../../src/security/tokens.ts';
import { CloseWebhook } from '../../src/service/close-webhook.ts';
import type { ManagementContext } from '../../src/service/context.ts';
import { createChangeQueue } from '../../src/service/change-queue.ts';
import { EventCatalogue } from '../../src/service/event-catalogue.ts';
import { createWebhook, type CreateWebhookInput } from '../../src/service/create-webhook.ts';
import type { StatusUpdate } from '../../src/realtime/status-update.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import type { TestDelivery } from '../../src/service/test-sender.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

export interface Management {
  readonly context: ManagementContext;
  readonly database: TestDatabase;
  readonly box: SecretBox;
  /** What was handed over, oldest first. */
  readonly scheduled: Scheduled[];
  readonly changed: string[];
  readonly updates: StatusUpdate[];
  readonly sent: TestDelivery[];
  /** How often a caller cancelled a delivery. */
  cancelled: number;
  /** What the next test attempt comes to; null: the webhook is closed. */
  outcome: Outcome | null;
  /** What was diagnosed, in order; null: the limit is reached. */
  diagnosed: string[] | null;
  close(): Promise<void>;
}

export async function startManagement(env: Record<string, string> = {}): Promise<Management> {
  const database = await createTestDatabase();
  const orm = await createOrm(database.config, () => {});
  const config = toConfig({ ENVIRONMENT: 'test', ...env });
  const egress = new EgressPolicy(config);
  const box = new SecretBox([`k1:${randomBytes(32).toString('base64')}`]);
  const catalogue = new EventCatalogue(database.pool, { onError: () => {}, onUnusableSchema: () => {}, onMismatch: () => {} });
  await catalogue.refresh();
  const closing = new CloseWebhook({
    pool: database.pool,
    isWatched: () => true,
    publish: (updates) => void management.updates.push(...updates),
    onCancelled: () => undefined,
    log: silentLogger,
  });
  const management: Management = {
    database,
    box,
    scheduled: [],
    changed: [],
    updates: [],
    sent: [],
    cancelled: 0,
    outcome: delivered,
    diagnosed: [],
    context: {
      config,
      orm,
      pool: database.pool,
      reports: new Reports(database.pool),
      changes: createChangeQueue(),
      catalogue,
      secretBox: box,
      scheduler: { enqueue: async (items) => management.scheduled.push(...items) },
      testSender: {
        async send(delivery) {
          management.sent.push(delivery);
          return management.outcome;
        },
      },
      diagnoser: {
        async admit(userId, subject) {
          if (management.diagnosed === null) throw new ServiceError('diagnose_limit_reached', 'as the test wants it');
          management.diagnosed.push(`admitted ${userId} ${subject}`);
          return () => void management.diagnosed?.push('ended');
        },
        async ofWebhook(webhookId) {
          management.diagnosed?.push(webhookId);
          return { verdict: 'ok', steps: [] };
        },
        async ofUrl(url) {
          management.diagnosed?.push(url);
          return { verdict: 'ok', steps: [] };
        },
      },
      checkUrl: (url) => egress.checkUrl(url),
      onWebhookChanged: (id) => void management.changed.push(id),
      endWaiting: (webhookId) => closing.endWaiting(webhookId),
      onCancelledByCaller: () => void (management.cancelled += 1),
      publishUpdates: (updates) => void management.updates.push(...updates),
      log: silentLogger,
    },
    async close() {
      await closing.drain();
      await orm.close(true);
      await database.drop();
    },
  };
  return management;
}

const delivered: Outcome = {
  startedAtMs: Date.UTC(2026, 0, 1),
  durationMs: 12.4,
  httpStatus: 200,
  response: 'ok',
  responseTruncated: false,
  responseOddity: null,
  error: null,
  retryAfterMs: null,
  transcript: null,
};

export const alice: Principal = { userId: 'alice', role: 'developer', expiresAtMs: Number.MAX_SAFE_INTEGER };
export const mallory: Principal = { userId: 'mallory', role: 'developer', expiresAtMs: Number.MAX_SAFE_INTEGER };
export const orders: Principal = { userId: 'orders', role: 'service', expiresAtMs: Number.MAX_SAFE_INTEGER };
export const admin: Principal = { userId: 'root', role: 'admin', expiresAtMs: Number.MAX_SAFE_INTEGER };

export const aWebhook: CreateWebhookInput = {
  url: 'https://example.com/hook',
  events: ['order.created', 'payment.success'],
  description: '',
  retryPolicy: undefined,
  userId: '',
  scope: 'user',
  customHeaders: {},
  rateLimit: 0,
  isPaused: false,
  onFailing: 'disable',
  filter: '',
  ordering: 'none',
  orderingGap: 'wait',
  signsEd25519: false,
  clientCertificate: null,
  oauth: null,
  fields: [],
};

export async function someWebhook(management: Management, principal: Principal, input: Partial<CreateWebhookInput> = {}) {
  return createWebhook(management.context, principal, { ...aWebhook, ...input });
}

export interface DeliveryColumns {
  readonly webhookId: string;
  readonly userId?: string;
  readonly eventId?: string;
  readonly eventType?: string;
  readonly status?: DeliveryStatus;
  readonly data?: string;
  readonly madeAtMs?: number;
  readonly attemptCount?: number;
  readonly retriesUsed?: number;
  readonly durationMs?: number;
  /** Seconds from now; set: an attempt holds it. */
  readonly leasedForSeconds?: number;
}

/** A delivery as publishing and recording leave it behind. */
export async function addDelivery({ database }: Management, columns: DeliveryColumns): Promise<string> {
  const madeAtMs = columns.madeAtMs ?? Date.now();
  const eventId = columns.eventId ?? newId('event', madeAtMs);
  const id = newId('delivery', madeAtMs);
  const status = columns.status ?? 'pending';
  const attemptCount = columns.attemptCount ?? (status === 'pending' || status === 'cancelled' ? 0 : 1);
  const { pool } = database;
  await pool.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
     values ($1, $2, $3, '2024-01-15T10:30:00Z', 'orders', '{}', false) on conflict do nothing`,
    [eventId, columns.eventType ?? 'order.created', columns.data ?? '{"order_id":"o1"}'],
  );
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, retries_used, next_attempt_at,
       leased_until, attempted_at, duration_ms, http_status, response, error_code, last_trigger, delivered_at, failed_at, cancelled_at, created_at)
     values ($1, $2, $3, $4, $5, $6::varchar, $7::integer, $8, case when $6 in ('pending', 'retrying') then now() + interval '1 hour' end,
       now() + $9::float8 * interval '1 second', case when $7 > 0 then now() end, case when $7 > 0 then $10::integer end,
       case when $7 > 0 then case $6 when 'delivered' then 200 else 500 end end, case when $7 > 0 then 'answer' end,
       case when $7 > 0 and $6 <> 'delivered' then 'http_status' end, case when $7 > 0 then 'automatic' end,
       case when $6 = 'delivered' then now() end, case when $6 = 'failed' then now() end,
       case when $6 = 'cancelled' then now() end, to_timestamp($11 / 1000.0))`,
    [
      id,
      eventId,
      columns.webhookId,
      columns.userId ?? 'alice',
      columns.eventType ?? 'order.created',
      status,
      attemptCount,
      columns.retriesUsed ?? 0,
      columns.leasedForSeconds ?? null,
      columns.durationMs ?? 10,
      madeAtMs,
    ],
  );
  return id;
}

/** What a call was refused with. */
export async function refusal(
  call: Promise<unknown>,
): Promise<{ code: string; reason: string; message: string; fields: string[] }> {
  try {
    await call;
  } catch (error) {
    const { code, reason, message, violations } = error as {
      code: string;
      reason: string;
      message: string;
      violations: { field: string }[];
    };
    return { code, reason, message, fields: violations?.map(({ field }) => field) };
  }
  throw new Error('the call was not refused');
}

/** An update that changes nothing. */
export const unchanged: Omit<UpdateWebhookInput, 'webhookId'> = {
  url: undefined,
  events: [],
  description: undefined,
  retryPolicy: undefined,
  isActive: undefined,
  customHeaders: {},
  clearCustomHeaders: false,
  rateLimit: undefined,
  onFailing: undefined,
  filter: undefined,
  ordering: undefined,
  orderingGap: undefined,
  signsEd25519: undefined,
  clientCertificate: undefined,
  oauth: undefined,
  fields: [],
  etag: '',
  reset: [],
  readOnly: {},
};
