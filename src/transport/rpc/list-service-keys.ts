// WebhookService.ListServiceKeys: the public keys that verify Ed25519 signatures.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listServiceKeys as list } from '../../service/service-keys.ts';
import { serviceKeysMessage } from '../messages/service-key-message.ts';

export function listServiceKeys(context: ManagementContext): ServiceImpl<typeof WebhookService>['listServiceKeys'] {
  return async () => serviceKeysMessage(await list(context));
}
