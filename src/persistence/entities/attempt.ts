// One HTTP request of a delivery. A first try that succeeded has no row: its delivery row says it all.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { AttemptTrigger } from '../../domain/delivery.ts';

export const Attempt = defineEntity({
  name: 'Attempt',
  tableName: 'attempts',
  properties: {
    deliveryId: p.string().length(64).primary(),
    number: p.integer().primary(),
    startedAt: p.datetime().columnType('timestamptz'),
    durationMs: p.integer(),
    httpStatus: p.integer().nullable(),
    response: p.text().nullable(),
    responseTruncated: p.boolean().default(false),
    responseOddity: p.string().length(40).nullable(),
    errorCode: p.string().length(40).nullable(),
    errorMessage: p.text().nullable(),
    // Null of what stood in a delivery's row alone: a first try that succeeded.
    requestHeaders: p.text().nullable(),
    responseHeaders: p.text().nullable(),
    remoteAddress: p.string().length(45).nullable(),
    tlsVersion: p.string().length(20).nullable(),
    trigger: p.string().$type<AttemptTrigger>(),
  },
});
export type Attempt = InferEntity<typeof Attempt>;
