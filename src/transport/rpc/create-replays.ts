// ReplayService.CreateReplays: sends again what many webhooks did not get, or shows which those would be.
import type { ServiceImpl } from '@connectrpc/connect';
import { CreateReplaysResponseSchema, type ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { createReplays as begin, previewReplays } from '../../service/replay-many.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { replaysMessage, replaysPreviewMessage } from '../messages/replay-message.ts';
import { selectionInput } from './replay-input.ts';

export function createReplays(context: ManagementContext): ServiceImpl<typeof ReplayService>['createReplays'] {
  return async (request, call) => {
    const { userId, pageToken } = request;
    const input = { ...selectionInput(request), userId, pageToken, rate: request.rate ?? null };
    if (request.dryRun) return replaysPreviewMessage(await previewReplays(context, principalOf(call), input));
    return answerOnce(context, { request, call }, CreateReplaysResponseSchema, replaysMessage, (once) =>
      begin(context, principalOf(call), input, once),
    );
  };
}
