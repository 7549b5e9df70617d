// WebhookService.UpdateEventType: changes what is given of a type, and keeps the rest.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { updateEventType as update } from '../../service/update-event-type.ts';
import { eventTypeMessage, priorityOf, validationOf } from '../messages/event-type-message.ts';

export function updateEventType(context: ManagementContext): ServiceImpl<typeof WebhookService>['updateEventType'] {
  return async (request) =>
    eventTypeMessage(
      await update(context, {
        name: request.name,
        description: request.description,
        schema: request.schema,
        sample: request.sample,
        validation: validationOf(request.validation),
        defaultPriority: priorityOf(request.defaultPriority),
        isDeprecated: request.deprecated,
        force: request.force,
      }),
    );
}
