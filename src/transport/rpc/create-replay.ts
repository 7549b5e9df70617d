// ReplayService.CreateReplay: sends again what a webhook did not get, or shows what that would be.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type CreateReplayRequest, ReplaySchema, type ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { ManagementContext } from '../../service/context.ts';
import { createReplay as begin, previewOf, type ReplayInput } from '../../service/replay.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { statusOf } from '../messages/delivery-message.ts';
import { previewMessage, replayMessage } from '../messages/replay-message.ts';

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
  return {
    webhookId: request.webhookId,
    statuses: request.statuses.map((status, index) => {
      const name = statusOf(status);
      if (name === null) throw invalid('field_invalid', `statuses[${index}]`, 'names no status');
      return name;
    }),
    eventTypes: request.eventTypes,
    sinceMs: request.since === undefined ? null : timestampMs(request.since),
    untilMs: request.until === undefined ? null : timestampMs(request.until),
    errorCodes: request.errorCodes,
    httpStatuses: request.httpStatuses,
    includeMissing: request.includeMissing,
    rate: request.rate ?? null,
  };
}
