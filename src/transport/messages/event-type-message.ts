// How an event type looks on the wire.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { EventPriority, PayloadValidation } from '../../../gen/homechef/webhook/v1/event_type_pb.ts';
import type { EventTypeSchema } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import * as domain from '../../domain/event-type.ts';

const VALIDATIONS = { off: PayloadValidation.OFF, warn: PayloadValidation.WARN, strict: PayloadValidation.STRICT } as const;
const PRIORITIES = { high: EventPriority.HIGH, normal: EventPriority.NORMAL, low: EventPriority.LOW } as const;

export function eventTypeMessage(type: domain.EventType): MessageInitShape<typeof EventTypeSchema> {
  return {
    name: type.name,
    description: type.description,
    ...(type.sample === null ? {} : { sample: type.sample }),
    ...(type.schema === null ? {} : { schema: type.schema }),
    schemaVersion: type.schemaVersion,
    validation: VALIDATIONS[type.validation],
    defaultPriority: PRIORITIES[type.defaultPriority],
    deprecated: type.isDeprecated,
    documented: type.isDocumented,
    createdAt: timestampFromDate(type.createdAt),
    updatedAt: timestampFromDate(type.updatedAt),
  };
}

/** Undefined: it was not given. */
export function validationOf(value: PayloadValidation): domain.PayloadValidation | undefined {
  return domain.payloadValidations.find((name) => VALIDATIONS[name] === value);
}

/** Undefined: it was not given. */
export function priorityOf(value: EventPriority): domain.EventPriority | undefined {
  return domain.eventPriorities.find((name) => PRIORITIES[name] === value);
}
