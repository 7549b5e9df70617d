// Sends one signed sample event at once and logs what came of it.
import { hasBegun, outcomeMessage, type Outcome } from '../domain/delivery.ts';
import { ServiceError } from '../domain/errors.ts';
import { type EventType, versionOf } from '../domain/event-type.ts';
import { newId } from '../domain/ids.ts';
import { Attempt } from '../persistence/entities/attempt.ts';
import { Delivery } from '../persistence/entities/delivery.ts';
import { Event } from '../persistence/entities/event.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { noteInsert } from '../persistence/queries/late-changes.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { AttemptView } from './delivery-view.ts';
import { unknownEventType } from './event-catalogue.ts';
import { findWebhook } from './find-webhook.ts';
import type { IdempotentCall } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';
import { webhookInactive } from './retry-delivery.ts';

/** How long a caller is asked to wait when this process has no socket for a test, in milliseconds. */
const NO_SOCKET_RETRY_MS = 1000;

export interface TestWebhookInput {
  readonly webhookId: string;
  /** Empty: the first of the webhook's own. */
  readonly eventType: string;
}

export interface TestResult {
  readonly deliveryId: string;
  /** Whether the receiver answered 2xx. */
  readonly success: boolean;
  readonly attempt: AttemptView;
}

/**
 * Not a published event: no other webhook gets it, it is not retried, and the webhook's health does not suffer from it.
 * Errors: `not_found`, `invalid_argument` (event_type_unknown), `failed_precondition` (webhook_inactive: deleted meanwhile), `resource_exhausted`
 * (test_limit_reached, overloaded).
 * @param once when the caller may repeat the call
 */
export async function testWebhook(
  context: ManagementContext,
  principal: Principal,
  input: TestWebhookInput,
  once: IdempotentCall<TestResult> | null = null,
): Promise<TestResult> {
  const send = (): Promise<TestResult> => sendSample(context, principal, input, once);
  return once === null ? send() : once.around(send);
}

async function sendSample(
  context: ManagementContext,
  principal: Principal,
  input: TestWebhookInput,
  once: IdempotentCall<TestResult> | null,
): Promise<TestResult> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const webhook = await findWebhook(manager, input.webhookId);
  const { catalogue } = context;
  const eventType = input.eventType === '' ? catalogue.firstOf(webhook.events[0] ?? '') : catalogue.find(input.eventType);
  if (eventType === undefined) throw unknownEventType('event_type');
  const now = Date.now();
  const sample = {
    eventId: newId('event', now),
    deliveryId: newId('delivery', now),
    data: JSON.stringify(eventType.sample ?? {}),
    schemaVersion: versionOf(eventType),
  };
  const outcome = await context.testSender.send({
    ...sample,
    webhookId: webhook.id,
    eventType: eventType.name,
    occurredAtMs: now,
  });
  if (outcome === null) throw webhookInactive();
  if (!hasBegun(outcome)) throw noSocket();
  const attempt = toAttempt(outcome);
  // Written once the outcome is known: a row that waits for one could be taken by the schedule and sent twice.
  const result: TestResult = { deliveryId: sample.deliveryId, success: attempt.errorCode === null, attempt };
  await log(context, principal, { webhook, eventType, ...sample, occurredAt: new Date(now) }, result, once);
  return result;
}

function noSocket(): ServiceError {
  return new ServiceError('overloaded', 'This process has no socket to spare for a test; try again later.', {
    retryAfterMs: NO_SOCKET_RETRY_MS,
  });
}

interface Sample {
  readonly webhook: WebhookEndpoint;
  readonly eventType: EventType;
  readonly eventId: string;
  readonly deliveryId: string;
  readonly data: string;
  readonly schemaVersion: number | null;
  readonly occurredAt: Date;
}

async function log(
  context: ManagementContext,
  principal: Principal,
  sample: Sample,
  result: TestResult,
  once: IdempotentCall<TestResult> | null,
): Promise<void> {
  const { webhook, occurredAt } = sample;
  const { attempt, success: isDelivered } = result;
  const endedAt = new Date();
  await entityManagerOf(context.orm, { userId: webhook.userId }).transactional(async (manager) => {
    manager.create(Event, {
      id: sample.eventId,
      eventType: sample.eventType.name,
      data: sample.data,
      schemaVersion: sample.schemaVersion,
      occurredAt,
      publisher: principal.userId,
      userIds: [webhook.userId],
      broadcast: false,
      // `createdAt` is that of this transaction: who watches events reads what was committed since a moment.
    });
    manager.create(Delivery, {
      id: sample.deliveryId,
      eventId: sample.eventId,
      webhookId: webhook.id,
      userId: webhook.userId,
      eventType: sample.eventType.name,
      status: isDelivered ? 'delivered' : 'failed',
      attemptCount: 1,
      attemptedAt: new Date(attempt.startedAtMs),
      durationMs: attempt.durationMs,
      httpStatus: attempt.httpStatus,
      response: attempt.response,
      responseTruncated: attempt.responseTruncated,
      responseOddity: attempt.responseOddity,
      errorCode: attempt.errorCode,
      errorMessage: attempt.errorMessage,
      lastTrigger: 'test',
      deliveredAt: isDelivered ? endedAt : null,
      failedAt: isDelivered ? null : endedAt,
      createdAt: occurredAt,
      updatedAt: endedAt,
      changedAt: endedAt,
    });
    const { startedAtMs, transcript, ...columns } = attempt;
    manager.create(Attempt, { deliveryId: sample.deliveryId, ...columns, ...transcript, startedAt: new Date(startedAtMs) });
    await manager.flush();
    // A test that took minutes may fall into an hour that is counted by now.
    await manager.execute(noteInsert, [sample.deliveryId]);
    await once?.keep(manager, result);
  });
}

function toAttempt(outcome: Outcome): AttemptView {
  return {
    number: 1,
    startedAtMs: outcome.startedAtMs,
    durationMs: Math.round(outcome.durationMs),
    httpStatus: outcome.httpStatus,
    response: outcome.response,
    responseTruncated: outcome.responseTruncated,
    responseOddity: outcome.responseOddity,
    errorCode: outcome.error,
    errorMessage: outcomeMessage(outcome),
    trigger: 'test',
    transcript: outcome.transcript,
  };
}
