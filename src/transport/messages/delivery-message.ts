// How deliveries and attempts look on the wire.
import { create, type JsonObject } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type Attempt,
  AttemptSchema,
  AttemptTrigger,
  type Delivery,
  DeliverySchema,
  DeliveryStatus,
  DeliveryView,
  type HttpHeader,
  HttpHeaderSchema,
} from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { type DeliveryStatus as Status, deliveryStatuses, type Transcript } from '../../domain/delivery.ts';
import type { DeliveryRow } from '../../persistence/queries/delivery-row.ts';
import type { AttemptView, DeliveryDetails } from '../../service/delivery-view.ts';

const STATUSES: Record<Status, DeliveryStatus> = {
  pending: DeliveryStatus.PENDING,
  retrying: DeliveryStatus.RETRYING,
  delivered: DeliveryStatus.DELIVERED,
  failed: DeliveryStatus.FAILED,
  cancelled: DeliveryStatus.CANCELLED,
};

const TRIGGERS: Record<AttemptView['trigger'], AttemptTrigger> = {
  automatic: AttemptTrigger.AUTOMATIC,
  manual: AttemptTrigger.MANUAL,
  test: AttemptTrigger.TEST,
};

/** Null for UNSPECIFIED. */
export function statusOf(status: DeliveryStatus): Status | null {
  return deliveryStatuses.find((name) => STATUSES[name] === status) ?? null;
}

export function statusNamed(status: Status): DeliveryStatus {
  return STATUSES[status];
}

export function deliveryMessage(delivery: Omit<DeliveryRow, 'userId'>): Delivery {
  return create(DeliverySchema, {
    id: delivery.id,
    webhookId: delivery.webhookId,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    status: STATUSES[delivery.status],
    attemptCount: delivery.attemptCount,
    createdAt: timestamp(delivery.createdAtMs),
    updatedAt: timestamp(delivery.updatedAtMs),
    ...(delivery.httpStatus === null ? {} : { httpStatus: delivery.httpStatus }),
    ...(delivery.response === null ? {} : { response: delivery.response }),
    ...(delivery.errorCode === null ? {} : { errorCode: delivery.errorCode }),
    ...(delivery.errorMessage === null ? {} : { errorMessage: delivery.errorMessage }),
    ...(delivery.cancelReason == null ? {} : { cancelReason: delivery.cancelReason }),
    ...(delivery.orderingKey == null ? {} : { orderingKey: delivery.orderingKey, sequence: delivery.sequence ?? 0 }),
    ...(delivery.collapseKey == null ? {} : { collapseKey: delivery.collapseKey }),
    ...(delivery.deliverBeforeMs == null ? {} : { deliverBefore: timestamp(delivery.deliverBeforeMs) }),
    ...(delivery.heldAtMs == null ? {} : { heldAt: timestamp(delivery.heldAtMs) }),
    // The first attempt of a pending delivery is due as well, but is no retry.
    ...(delivery.status !== 'retrying' || delivery.nextAttemptAtMs === null
      ? {}
      : { nextRetryAt: timestamp(delivery.nextAttemptAtMs) }),
    ...(delivery.deliveredAtMs === null ? {} : { deliveredAt: timestamp(delivery.deliveredAtMs) }),
    ...(delivery.failedAtMs === null ? {} : { failedAt: timestamp(delivery.failedAtMs) }),
  });
}

/** What is sent stands in it once: a structure takes up to six times the bytes of its text, and gRPC clients read 4 MiB. */
export function deliveryDetailsMessage(delivery: DeliveryDetails, view: DeliveryView): Delivery {
  const message = deliveryMessage(delivery);
  message.attempts = delivery.attempts.map(attemptMessage);
  if (delivery.body === null) return message;
  if (view === DeliveryView.PAYLOAD) message.payload = JSON.parse(delivery.body) as JsonObject;
  else message.body = delivery.body;
  return message;
}

export function attemptMessage(attempt: AttemptView): Attempt {
  return create(AttemptSchema, {
    number: attempt.number,
    startedAt: timestamp(attempt.startedAtMs),
    durationMs: attempt.durationMs,
    responseTruncated: attempt.responseTruncated,
    trigger: TRIGGERS[attempt.trigger],
    ...(attempt.httpStatus === null ? {} : { httpStatus: attempt.httpStatus }),
    ...(attempt.response === null ? {} : { response: attempt.response }),
    ...(attempt.errorCode === null ? {} : { errorCode: attempt.errorCode }),
    ...(attempt.errorMessage === null ? {} : { errorMessage: attempt.errorMessage }),
    ...(attempt.responseOddity === null ? {} : { responseOddity: attempt.responseOddity }),
    ...transcriptFields(attempt.transcript ?? null),
  });
}

function transcriptFields(transcript: Transcript | null) {
  if (transcript === null) return {};
  const { requestHeaders, responseHeaders, remoteAddress, tlsVersion } = transcript;
  return {
    requestHeaders: headerMessages(requestHeaders),
    responseHeaders: headerMessages(responseHeaders),
    ...(remoteAddress === null ? {} : { remoteAddress }),
    ...(tlsVersion === null ? {} : { tlsVersion }),
  };
}

function headerMessages(lines: string | null): HttpHeader[] {
  if (lines === null || lines === '') return [];
  return lines.split('\n').map((line) => {
    const colon = line.indexOf(': ');
    return create(HttpHeaderSchema, { name: line.slice(0, colon), value: line.slice(colon + 2) });
  });
}

// The database's microseconds come as a fraction, which a timestamp of whole milliseconds cannot take.
function timestamp(ms: number): Timestamp {
  return timestampFromMs(Math.floor(ms));
}
