// WebhookService.ListEventTypes: the catalogue.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listEventTypes as list } from '../../service/list-event-types.ts';
import { eventTypeMessage } from '../messages/event-type-message.ts';

export function listEventTypes(context: ManagementContext): ServiceImpl<typeof WebhookService>['listEventTypes'] {
  return () => ({ events: list(context).map(eventTypeMessage) });
}
