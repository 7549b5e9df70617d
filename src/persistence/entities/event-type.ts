// An event type of the catalogue.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { EventPriority, PayloadValidation } from '../../domain/event-type.ts';
import type { JsonObject } from '../../domain/payload.ts';

export const EventTypeRow = defineEntity({
  name: 'EventTypeRow',
  tableName: 'event_types',
  properties: {
    name: p.string().length(100).primary(),
    description: p.string().length(1000),
    sample: p.json().$type<JsonObject>().nullable(),
    schema: p.json().$type<JsonObject>().nullable(),
    schemaVersion: p.integer().default(0),
    validation: p.string().length(10).$type<PayloadValidation>().default('off'),
    defaultPriority: p.string().length(10).$type<EventPriority>().default('normal'),
    isDeprecated: p.boolean().default(false),
    isDocumented: p.boolean().default(false),
    createdAt: p.datetime().columnType('timestamptz'),
    updatedAt: p.datetime().columnType('timestamptz'),
  },
});
export type EventTypeRow = InferEntity<typeof EventTypeRow>;
