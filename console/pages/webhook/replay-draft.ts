// What a replay is to send, as it is typed in, and as the service gets it.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { CreateReplayRequestSchema } from '../../../gen/homechef/webhook/v1/replay_pb.ts';

export interface ReplayDraft {
  readonly statuses: readonly DeliveryStatus[];
  /** As `datetime-local` has them, in the reader's zone; empty: no bound. */
  readonly since: string;
  readonly until: string;
  /** None: all. */
  readonly eventTypes: readonly string[];
  readonly includeMissing: boolean;
  /** Deliveries a second; empty: the usual. */
  readonly rate: string;
}

export const emptyDraft: ReplayDraft = {
  statuses: [DeliveryStatus.FAILED],
  since: '',
  until: '',
  eventTypes: [],
  includeMissing: false,
  rate: '',
};

export function requestOf(webhookId: string, draft: ReplayDraft): MessageInitShape<typeof CreateReplayRequestSchema> {
  const { statuses, since, until, eventTypes, includeMissing, rate } = draft;
  return {
    webhookId,
    statuses: [...statuses],
    eventTypes: [...eventTypes],
    includeMissing,
    ...(since === '' ? {} : { since: timestampFromDate(new Date(since)) }),
    ...(until === '' ? {} : { until: timestampFromDate(new Date(until)) }),
    ...(rate === '' ? {} : { rate: Number(rate) }),
  };
}
