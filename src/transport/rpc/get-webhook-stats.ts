// WebhookService.GetWebhookStats: counts, success rate, latency and a time series.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getWebhookStats as getStats } from '../../service/get-webhook-stats.ts';
import { principalOf } from '../call/call-context.ts';

export function getWebhookStats(context: ManagementContext): ServiceImpl<typeof WebhookService>['getWebhookStats'] {
  return async (request, call) => {
    const stats = await getStats(context, principalOf(call), {
      webhookId: request.webhookId,
      sinceMs: request.since === undefined ? null : timestampMs(request.since),
      untilMs: request.until === undefined ? null : timestampMs(request.until),
    });
    const { latency } = stats;
    return {
      webhookId: stats.webhookId,
      since: timestampFromMs(stats.sinceMs),
      until: timestampFromMs(stats.untilMs),
      counts: stats.counts,
      ...(stats.successRate === null ? {} : { successRate: stats.successRate }),
      ...(latency === null ? {} : { latency: { p50Ms: latency.p50, p95Ms: latency.p95, p99Ms: latency.p99 } }),
      buckets: stats.buckets.map(({ startMs, counts }) => ({ start: timestampFromMs(startMs), counts })),
      bucketSeconds: stats.bucketSeconds,
      neverTried: stats.neverTried,
    };
  };
}
