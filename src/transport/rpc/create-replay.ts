// ReplayService.CreateReplay: sends again what a webhook did not get, or shows what that would be.
import type { ServiceImpl } from '@connectrpc/connect';
import { type CreateReplayRequest, ReplaySchema, type ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { createReplay as begin, previewOf, type ReplayInput } from '../../service/replay.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { previewMessage, replayMessage } from '../messages/replay-message.ts';
import { selectionInput } from './replay-input.ts';

export function createReplay(context: ManagementContext): ServiceImpl<typeof ReplayService>['createReplay'] {
  return async (request, call) => {
    const input = inputOf(request);
    if (request.dryRun) return previewMessage(await previewOf(context, principalOf(call), input));
    return answerOnce(context, { request, call }, ReplaySchema, replayMessage, (once) =>
      begin(context, principalOf(call), input, once),
    );
  };
}

function inputOf(request: CreateReplayRequest): ReplayInput {
  const { webhookId, includeMissing } = request;
  return { ...selectionInput(request), webhookId, includeMissing, rate: request.rate ?? null };
}
