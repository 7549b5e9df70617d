// WebhookService.ListEventTypes: the catalogue.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { listEventTypes as list } from '../../service/list-event-types.ts';

export function listEventTypes(): ServiceImpl<typeof WebhookService>['listEventTypes'] {
  return () => ({ events: list().map((type) => ({ ...type })) });
}
