// WebhookService.GetOverview: how all webhooks of a caller do.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getOverview as overviewOf } from '../../service/get-overview.ts';
import type { StatusCounts } from '../../service/stats-tally.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

/** Counts are 32 bits wide on the wire. */
const MAX_COUNT = 2_147_483_647;

export function getOverview(context: ManagementContext): ServiceImpl<typeof WebhookService>['getOverview'] {
  return async (request, call) => {
    const found = await overviewOf(context, principalOf(call), {
      sinceMs: request.since === undefined ? null : timestampMs(request.since),
      userId: request.userId,
      limit: request.limit,
    });
    const { latency } = found;
    return {
      since: timestampFromMs(found.sinceMs),
      until: timestampFromMs(found.untilMs),
      counts: bounded(found.counts),
      ...(found.successRate === null ? {} : { successRate: found.successRate }),
      ...(latency === null ? {} : { latency: { p50Ms: latency.p50, p95Ms: latency.p95, p99Ms: latency.p99 } }),
      buckets: found.buckets.map(({ startMs, counts }) => ({ start: timestampFromMs(startMs), counts: bounded(counts) })),
      bucketSeconds: found.bucketSeconds,
      causes: found.causes.map(({ cause, deliveries }) => ({ cause, deliveries: Math.min(deliveries, MAX_COUNT) })),
      worst: found.worst.map(({ webhook, failed, retrying, cause, oldestRetryingMs }) => ({
        webhook: webhookMessage(webhook),
        failed,
        retrying,
        ...(cause === null ? {} : { cause }),
        ...(oldestRetryingMs === null ? {} : { oldestRetryingAt: timestampFromMs(oldestRetryingMs) }),
      })),
      webhooks: found.webhooks,
      neverTried: Math.min(found.neverTried, MAX_COUNT),
      failures: found.failures.map(({ host, cause, deliveries, webhooks, users, failingSinceMs }) => ({
        host,
        cause: { cause, deliveries: Math.min(deliveries, MAX_COUNT) },
        webhooks,
        users,
        ...(failingSinceMs === null ? {} : { failingSince: timestampFromMs(failingSinceMs) }),
      })),
    };
  };
}

function bounded(counts: StatusCounts): StatusCounts {
  const { total, pending, retrying, delivered, failed, cancelled } = counts;
  const limit = (count: number): number => Math.min(count, MAX_COUNT);
  return {
    total: limit(total),
    pending: limit(pending),
    retrying: limit(retrying),
    delivered: limit(delivered),
    failed: limit(failed),
    cancelled: limit(cancelled),
  };
}
