// How replays look on the wire.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type CreateReplaysResponse,
  CreateReplaysResponseSchema,
  type Replay,
  ReplaySchema,
  ReplayState,
  SkippedReplaySchema,
} from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import type { ReplayFilter } from '../../persistence/queries/replay-selection.ts';
import type { ReplayRow, ReplayState as State } from '../../persistence/queries/replays.ts';
import type { ReplayPreview } from '../../service/replay.ts';
import type { Replays, ReplaysPreview } from '../../service/replay-many.ts';
import { deliveryMessage, statusNamed } from './delivery-message.ts';

const STATES: Record<State, ReplayState> = {
  running: ReplayState.RUNNING,
  waiting: ReplayState.WAITING,
  paused: ReplayState.PAUSED,
  completed: ReplayState.COMPLETED,
  cancelled: ReplayState.CANCELLED,
};

export function replayMessage(replay: ReplayRow): Replay {
  return create(ReplaySchema, {
    ...filterFields(replay.filter),
    id: replay.id,
    webhookId: replay.webhookId,
    state: STATES[replay.state],
    reason: replay.reason ?? '',
    rate: replay.rate,
    matched: replay.matched,
    matchedIsLowerBound: replay.isMatchedLowerBound,
    released: replay.released,
    delivered: replay.delivered,
    failed: replay.failed,
    cancelled: replay.cancelled,
    createdAt: timestampFromMs(replay.createdAtMs),
    ...(replay.endedAtMs === null ? {} : { endedAt: timestampFromMs(replay.endedAtMs) }),
  });
}

export function previewMessage({
  webhookId,
  filter,
  matched,
  isLowerBound,
  deliveries,
}: Omit<ReplayPreview, 'samples'>): Replay {
  return create(ReplaySchema, {
    ...filterFields(filter),
    webhookId,
    matched,
    matchedIsLowerBound: isLowerBound,
    dryRun: true,
    samples: deliveries.map(deliveryMessage),
  });
}

export function replaysMessage({ begun, skipped, nextPageToken }: Replays): CreateReplaysResponse {
  return create(CreateReplaysResponseSchema, {
    replays: begun.map(replayMessage),
    skipped: skipped.map((webhook) => create(SkippedReplaySchema, webhook)),
    nextPageToken,
  });
}

export function replaysPreviewMessage({ filter, webhooks, nextPageToken }: ReplaysPreview): CreateReplaysResponse {
  const replays = webhooks.map(({ id: webhookId, matched, isLowerBound }) =>
    previewMessage({ webhookId, filter, matched, isLowerBound, deliveries: [] }),
  );
  return create(CreateReplaysResponseSchema, { replays, nextPageToken, dryRun: true });
}

function filterFields(filter: ReplayFilter) {
  return {
    statuses: filter.statuses.map(statusNamed),
    eventTypes: [...filter.event_types],
    errorCodes: [...filter.error_codes],
    httpStatuses: [...filter.http_statuses],
    includeMissing: filter.include_missing,
    ...(filter.since_ms === null ? {} : { since: timestampFromMs(filter.since_ms) }),
    ...(filter.until_ms === null ? {} : { until: timestampFromMs(filter.until_ms) }),
  };
}
