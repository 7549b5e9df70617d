// Reads one delivery with its body and every attempt.
import { deliveryBody } from '../domain/body.ts';
import { isHidden } from '../domain/chain.ts';
import type { Transcript } from '../domain/delivery.ts';
import { notFound } from '../domain/errors.ts';
import { fieldMask, maskedPayload } from '../domain/field-mask.ts';
import { isId } from '../domain/ids.ts';
import { Attempt } from '../persistence/entities/attempt.ts';
import { Delivery } from '../persistence/entities/delivery.ts';
import { Event } from '../persistence/entities/event.ts';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { AttemptView, DeliveryDetails } from './delivery-view.ts';
import { ownerOf } from './owner.ts';

/**
 * Attempts shown, the last ones: with 16 KiB of response each, which may be three times that in UTF-8, 8 KiB of headers and 1 MiB of body they
 * stay under 4 MiB.
 */
export const MAX_ATTEMPTS_SHOWN = 50;

export async function getDelivery(
  context: ManagementContext,
  principal: Principal,
  deliveryId: string,
): Promise<DeliveryDetails> {
  if (!isId('delivery', deliveryId)) throw notFound('delivery');
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const delivery = await manager.findOne(Delivery, { id: deliveryId });
  if (delivery === null) throw notFound('delivery');
  const event = await manager.findOne(Event, { id: delivery.eventId });
  const webhook = await manager.findOne(WebhookEndpoint, { id: delivery.webhookId });
  const attempts = await manager.find(Attempt, { deliveryId }, { orderBy: { number: 'desc' }, limit: MAX_ATTEMPTS_SHOWN });
  return {
    id: delivery.id,
    webhookId: delivery.webhookId,
    userId: delivery.userId,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    status: delivery.status,
    attemptCount: delivery.attemptCount,
    httpStatus: delivery.httpStatus ?? null,
    response: delivery.response ?? null,
    errorCode: delivery.errorCode ?? null,
    errorMessage: delivery.errorMessage ?? null,
    cancelReason: delivery.status === 'cancelled' ? (delivery.cancelReason ?? null) : null,
    ...orderingOf(delivery),
    collapseKey: delivery.collapseKey ?? null,
    deliverBeforeMs: delivery.deliverBefore?.getTime() ?? null,
    heldAtMs: delivery.status === 'pending' ? (delivery.heldAt?.getTime() ?? null) : null,
    nextAttemptAtMs: delivery.nextAttemptAt?.getTime() ?? null,
    deliveredAtMs: delivery.deliveredAt?.getTime() ?? null,
    failedAtMs: delivery.failedAt?.getTime() ?? null,
    createdAtMs: delivery.createdAt.getTime(),
    updatedAtMs: (delivery.changedAt ?? delivery.updatedAt).getTime(),
    body: event === null ? null : bodyOf(delivery, event, webhook?.fields ?? []),
    attempts: withLast(delivery, attempts.map(attemptView).toReversed()).slice(-MAX_ATTEMPTS_SHOWN),
  };
}

function orderingOf({ orderingKey, sequence }: Delivery): Pick<DeliveryDetails, 'orderingKey' | 'sequence'> {
  if (orderingKey == null || isHidden(orderingKey)) return { orderingKey: null, sequence: null };
  return { orderingKey, sequence: sequence ?? null };
}

// As an attempt would send it now: the mask is the webhook's own, as its URL is.
function bodyOf(delivery: Delivery, event: Event, fields: readonly string[]): string {
  const mask = fieldMask(fields);
  return deliveryBody({
    eventType: delivery.eventType,
    data: mask === null ? event.data : maskedPayload(mask, event.data),
    occurredAtMs: event.occurredAt.getTime(),
    webhookId: delivery.webhookId,
    deliveryId: delivery.id,
  });
}

function attemptView(attempt: Attempt): AttemptView {
  return {
    number: attempt.number,
    startedAtMs: attempt.startedAt.getTime(),
    durationMs: attempt.durationMs,
    httpStatus: attempt.httpStatus ?? null,
    response: attempt.response ?? null,
    responseTruncated: attempt.responseTruncated,
    responseOddity: attempt.responseOddity ?? null,
    errorCode: attempt.errorCode ?? null,
    errorMessage: attempt.errorMessage ?? null,
    trigger: attempt.trigger,
    transcript: transcriptOf(attempt),
  };
}

function transcriptOf(attempt: Attempt): Transcript | null {
  const { requestHeaders = null, responseHeaders = null, remoteAddress = null, tlsVersion = null } = attempt;
  if (requestHeaders === null && remoteAddress === null) return null;
  return { requestHeaders, responseHeaders, remoteAddress, tlsVersion };
}

// A first try that succeeded has no row of its own: the delivery's row has it.
function withLast(delivery: Delivery, attempts: AttemptView[]): AttemptView[] {
  const startedAt = delivery.attemptedAt;
  if (delivery.attemptCount === 0 || !startedAt || attempts.at(-1)?.number === delivery.attemptCount) return attempts;
  const last: AttemptView = {
    number: delivery.attemptCount,
    startedAtMs: startedAt.getTime(),
    durationMs: delivery.durationMs ?? 0,
    httpStatus: delivery.httpStatus ?? null,
    response: delivery.response ?? null,
    responseTruncated: delivery.responseTruncated,
    responseOddity: delivery.responseOddity ?? null,
    errorCode: delivery.errorCode ?? null,
    errorMessage: delivery.errorMessage ?? null,
    trigger: delivery.lastTrigger ?? 'automatic',
  };
  return [...attempts, last];
}
