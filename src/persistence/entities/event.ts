// What has happened, as published. It belongs to no single user, so it is reached only through a delivery.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

export const Event = defineEntity({
  name: 'Event',
  tableName: 'events',
  properties: {
    id: p.string().length(64).primary(),
    eventType: p.string().length(100),
    /** The canonical text: the bytes that are signed. */
    data: p.text(),
    /** See `EventRow`. */
    schemaVersion: p.integer().nullable(),
    occurredAt: p.datetime().columnType('timestamptz'),
    publisher: p.string().length(255),
    userIds: p.array(),
    broadcast: p.boolean(),
    traceparent: p.string().length(64).nullable(),
    createdAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
  },
});
export type Event = InferEntity<typeof Event>;
