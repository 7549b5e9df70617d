// WebhookService.CreateEventType: adds a type to the catalogue.
import type { ServiceImpl } from '@connectrpc/connect';
import type { CreateEventTypeRequest } from '../../../gen/homechef/webhook/v1/event_type_pb.ts';
import { EventTypeSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { createEventType as create, type CreateEventTypeInput } from '../../service/create-event-type.ts';
import { answerOnce } from '../call/answer-once.ts';
import { eventTypeMessage, priorityOf, validationOf } from '../messages/event-type-message.ts';

export function createEventType(context: ManagementContext): ServiceImpl<typeof WebhookService>['createEventType'] {
  return (request, call) =>
    answerOnce(context, { request, call }, EventTypeSchema, eventTypeMessage, (once) =>
      create(context, inputOf(request), once),
    );
}

function inputOf(request: CreateEventTypeRequest): CreateEventTypeInput {
  return {
    name: request.name,
    description: request.description,
    schema: request.schema ?? null,
    sample: request.sample ?? null,
    validation: validationOf(request.validation) ?? 'off',
    defaultPriority: priorityOf(request.defaultPriority) ?? 'normal',
    isDeprecated: request.deprecated,
  };
}
