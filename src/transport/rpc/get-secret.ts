// WebhookService.GetSecret: the owner reads the signing secrets again.
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getSecret as get } from '../../service/get-secret.ts';
import { principalOf } from '../call/call-context.ts';

export function getSecret(context: ManagementContext): ServiceImpl<typeof WebhookService>['getSecret'] {
  return async (request, call) => {
    const { secret, previous } = await get(context, principalOf(call), request.webhookId);
    return {
      secret,
      previous: previous.map((earlier) => ({ secret: earlier.secret, expiresAt: timestampFromDate(earlier.expiresAt) })),
    };
  };
}
