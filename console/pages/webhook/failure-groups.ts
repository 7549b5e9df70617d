// Recent failures of a webhook, grouped by what went wrong.
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type Delivery, DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { deliveries } from '../../api/client.ts';
import { type Cause, causeOf } from '../../format/cause.ts';

/** What one call may list, for each of the two statuses. More would not change which cause leads. */
const SAMPLE = 100;

export interface FailureGroup {
  readonly cause: Cause;
  readonly failed: number;
  readonly retrying: number;
  readonly latest: Delivery;
  readonly lastSeen: Timestamp | undefined;
}

export interface FailureGroups {
  readonly groups: readonly FailureGroup[];
  /** Whether there are more failures than were looked at. */
  readonly sampled: boolean;
}

export async function readFailureGroups(webhookId: string, since: Timestamp, signal: AbortSignal): Promise<FailureGroups> {
  const pages = await Promise.all(
    [DeliveryStatus.FAILED, DeliveryStatus.RETRYING].map((status) =>
      deliveries.listDeliveries({ webhookId, status, since, limit: SAMPLE }, { signal }),
    ),
  );
  const found = pages.flatMap((page) => page.deliveries);
  const groups = [...Map.groupBy(found, (delivery) => causeOf(delivery).key).values()].map(toGroup);
  return {
    groups: groups.toSorted((a, b) => b.failed + b.retrying - (a.failed + a.retrying)),
    sampled: pages.some((page) => page.nextPageToken !== ''),
  };
}

function toGroup(members: Delivery[]): FailureGroup {
  const latest = members.reduce((a, b) => (seconds(b) > seconds(a) ? b : a));
  return {
    cause: causeOf(latest),
    failed: members.filter((delivery) => delivery.status === DeliveryStatus.FAILED).length,
    retrying: members.filter((delivery) => delivery.status === DeliveryStatus.RETRYING).length,
    latest,
    lastSeen: latest.updatedAt,
  };
}

function seconds(delivery: Delivery): number {
  return Number(delivery.updatedAt?.seconds ?? 0n);
}
