// ReplayService.PauseReplay, ResumeReplay and CancelReplay: stop a replay, let it go on, and end it.
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import {
  type CancelReplayRequest,
  type PauseReplayRequest,
  ReplaySchema,
  type ReplayService,
  type ResumeReplayRequest,
} from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { changeReplayOf, type ReplayChange } from '../../service/replay.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { replayMessage } from '../messages/replay-message.ts';

type Methods = ServiceImpl<typeof ReplayService>;

export function pauseReplay(context: ManagementContext): Methods['pauseReplay'] {
  return (request, call) => change(context, { request, call }, 'pause', null);
}

export function resumeReplay(context: ManagementContext): Methods['resumeReplay'] {
  return (request, call) => change(context, { request, call }, 'resume', request.rate ?? null);
}

export function cancelReplay(context: ManagementContext): Methods['cancelReplay'] {
  return (request, call) => change(context, { request, call }, 'cancel', null);
}

type Request = PauseReplayRequest | ResumeReplayRequest | CancelReplayRequest;

function change(
  context: ManagementContext,
  { request, call }: { readonly request: Request; readonly call: HandlerContext },
  what: ReplayChange['change'],
  rate: number | null,
) {
  const { webhookId, replayId: id } = request;
  return answerOnce(context, { request, call }, ReplaySchema, replayMessage, (once) =>
    changeReplayOf(context, principalOf(call), { webhookId, id, change: what, rate }, once),
  );
}
