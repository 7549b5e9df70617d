// ReplayService.GetReplay: how far a replay is.
import type { ServiceImpl } from '@connectrpc/connect';
import type { ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getReplay as get } from '../../service/replay.ts';
import { principalOf } from '../call/call-context.ts';
import { replayMessage } from '../messages/replay-message.ts';

export function getReplay(context: ManagementContext): ServiceImpl<typeof ReplayService>['getReplay'] {
  return async ({ webhookId, replayId }, call) => replayMessage(await get(context, principalOf(call), webhookId, replayId));
}
