// One event for one webhook, with the outcome of the last attempt.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { AttemptTrigger, DeliveryStatus } from '../../domain/delivery.ts';
import { ownerFilter } from './owner.ts';

export const Delivery = defineEntity({
  name: 'Delivery',
  tableName: 'deliveries',
  filters: { owner: ownerFilter },
  properties: {
    id: p.string().length(64).primary(),
    eventId: p.string().length(64),
    webhookId: p.string().length(64),
    userId: p.string().length(255),
    eventType: p.string().length(100),
    status: p.string().$type<DeliveryStatus>().default('pending'),
    attemptCount: p.integer().default(0),
    retriesUsed: p.integer().default(0),
    nextTrigger: p.string().$type<AttemptTrigger>().default('automatic'),
    nextAttemptAt: p.datetime().columnType('timestamptz').nullable(),
    leasedUntil: p.datetime().columnType('timestamptz').nullable(),
    leaseExpirations: p.integer().default(0),
    attemptedAt: p.datetime().columnType('timestamptz').nullable(),
    durationMs: p.integer().nullable(),
    httpStatus: p.integer().nullable(),
    response: p.text().nullable(),
    responseTruncated: p.boolean().default(false),
    responseOddity: p.string().length(40).nullable(),
    errorCode: p.string().length(40).nullable(),
    errorMessage: p.text().nullable(),
    lastTrigger: p.string().$type<AttemptTrigger>().nullable(),
    deliveredAt: p.datetime().columnType('timestamptz').nullable(),
    failedAt: p.datetime().columnType('timestamptz').nullable(),
    createdAt: p.datetime().columnType('timestamptz'),
    updatedAt: p.datetime().columnType('timestamptz'),
    changedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Its chain (domain/chain.ts): its ordering key where its event has one. */
    orderingKey: p.string().length(255).nullable(),
    sequence: p.bigint('number').nullable(),
    collapseKey: p.string().length(255).nullable(),
    deliverBefore: p.datetime().columnType('timestamptz').nullable(),
    heldAt: p.datetime().columnType('timestamptz').nullable(),
    cancelReason: p.string().length(20).nullable(),
    cancelledAt: p.datetime().columnType('timestamptz').nullable(),
  },
});
export type Delivery = InferEntity<typeof Delivery>;
