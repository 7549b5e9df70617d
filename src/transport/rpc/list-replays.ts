// ReplayService.ListReplays: the replays of a webhook, newest first.
import type { ServiceImpl } from '@connectrpc/connect';
import type { ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listReplaysOf } from '../../service/replay.ts';
import { principalOf } from '../call/call-context.ts';
import { replayMessage } from '../messages/replay-message.ts';

export function listReplays(context: ManagementContext): ServiceImpl<typeof ReplayService>['listReplays'] {
  return async ({ webhookId, limit, pageToken }, call) => {
    const page = await listReplaysOf(context, principalOf(call), { webhookId, limit, pageToken });
    return { replays: page.items.map(replayMessage), limit: page.limit, nextPageToken: page.nextPageToken };
  };
}
