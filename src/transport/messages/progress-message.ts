// How the progress of a release looks on the wire.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type ReleaseProgress, ReleaseProgressSchema, ReleaseState } from '../../../gen/homechef/webhook/v1/release_pb.ts';
import type { ReleaseProgress as Progress } from '../../persistence/queries/release-progress.ts';

const STATES: Record<Progress['state'], ReleaseState> = {
  running: ReleaseState.RUNNING,
  waiting: ReleaseState.WAITING,
  paused: ReleaseState.PAUSED,
  completed: ReleaseState.COMPLETED,
  cancelled: ReleaseState.CANCELLED,
};

export function progressMessage(progress: Progress): ReleaseProgress {
  return create(ReleaseProgressSchema, {
    id: progress.id,
    webhookId: progress.webhookId,
    userId: progress.userId,
    state: STATES[progress.state],
    reason: progress.reason ?? '',
    rate: progress.rate,
    matched: progress.matched,
    matchedIsLowerBound: progress.isMatchedLowerBound,
    released: progress.released,
    delivered: progress.delivered,
    failed: progress.failed,
    cancelled: progress.cancelled,
    createdAt: timestampFromMs(progress.createdAtMs),
    ...(progress.endedAtMs === null ? {} : { endedAt: timestampFromMs(progress.endedAtMs) }),
  });
}
