// WebhookService.GetEventType: one type of the catalogue.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getEventType as get } from '../../service/list-event-types.ts';
import { eventTypeMessage } from '../messages/event-type-message.ts';

export function getEventType(context: ManagementContext): ServiceImpl<typeof WebhookService>['getEventType'] {
  return ({ name }) => eventTypeMessage(get(context, name));
}
