// WebhookService.RotateServiceKey: a new key pair for Ed25519 signatures.
import type { ServiceImpl } from '@connectrpc/connect';
import { ServiceKeysSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { rotateServiceKey as rotate } from '../../service/service-keys.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { serviceKeysMessage } from '../messages/service-key-message.ts';

export function rotateServiceKey(context: ManagementContext): ServiceImpl<typeof WebhookService>['rotateServiceKey'] {
  return (request, call) =>
    answerOnce(context, { request, call }, ServiceKeysSchema, serviceKeysMessage, (once) =>
      rotate(context, principalOf(call), request.overlapHours, once),
    );
}
