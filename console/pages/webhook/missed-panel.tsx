// Right after a webhook was enabled: what it did not get while it was disabled, and one click that sends it.
import { timestampFromMs, timestampMs, ValueSchema } from '@bufbuild/protobuf/wkt';
import { toJson } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { useState } from 'preact/hooks';
import { DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { CreateReplayRequestSchema } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { type ChangedField, type Webhook, WebhookAction } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { deliveries, replays, webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { Moment } from '../../components/moment.tsx';
import { Loaded, Problem } from '../../components/states.tsx';
import { amountOf, ReplayPreview } from './replay-preview.tsx';

/** What one call may list: among so many changes is the one that disabled it, and so many of what it cancelled are looked at. */
const MAX_LISTED = 100;
/** ms. Entries of the history, deliveries and their events carry moments of one transaction or of one publish, which differ by so much at most. */
const MOMENT_SLACK_MS = 10_000;

interface MissedPanelProps {
  readonly webhook: Webhook;
  readonly onBegun: () => void;
  readonly onClose: () => void;
}

export function MissedPanel({ webhook, onBegun, onClose }: MissedPanelProps) {
  const webhookId = webhook.id;
  const missed = useResource(webhookId, async (signal) => {
    const sinceMs = await missedSince(webhook, signal);
    const found = await replays.createReplay({ ...missedRequest(webhookId, sinceMs), dryRun: true }, { signal });
    return { sinceMs, found };
  });
  const [idempotencyKey] = useState(() => crypto.randomUUID());
  const send = useAction(async () => {
    if (missed.data === undefined) return;
    await replays.createReplay({ ...missedRequest(webhookId, missed.data.sinceMs), idempotencyKey });
    onClose();
    onBegun();
  });
  return (
    <section class="panel" aria-labelledby="missed">
      <h2 id="missed">It is enabled. What it missed meanwhile</h2>
      <Loaded from={missed} lines={3}>
        {({ sinceMs, found }) => (
          <>
            {sinceMs !== null && (
              <p>
                Events since <Moment at={new Date(sinceMs)} /> that were cancelled, or that it has no delivery of.
              </p>
            )}
            <ReplayPreview found={found}>
              <button type="button" class="button primary" disabled={send.busy} onClick={() => void send.run()}>
                {send.busy ? 'Beginning…' : `Send ${amountOf(found)} now`}
              </button>
            </ReplayPreview>
          </>
        )}
      </Loaded>
      {send.failure !== undefined && <Problem failure={send.failure} />}
      <div class="button-row">
        <button type="button" class="button" onClick={onClose}>
          Leave it
        </button>
      </div>
    </section>
  );
}

function missedRequest(webhookId: string, sinceMs: number | null): MessageInitShape<typeof CreateReplayRequestSchema> {
  return {
    webhookId,
    statuses: [DeliveryStatus.CANCELLED],
    // Without a beginning, events from before its time would count as missed.
    includeMissing: sinceMs !== null,
    ...(sinceMs === null ? {} : { since: timestampFromMs(sinceMs) }),
  };
}

/** When it was disabled, or when the oldest delivery was made that this cancelled; null: its history does not say. */
async function missedSince({ id: webhookId, createdAt }: Webhook, signal: AbortSignal): Promise<number | null> {
  const { changes } = await webhooks.getWebhookHistory({ webhookId, limit: MAX_LISTED }, { signal });
  const disabling = changes.find(({ action, fields }) => action === WebhookAction.DISABLED || fields.some(isDisabling));
  if (disabling?.at === undefined) return null;
  const disabledMs = timestampMs(disabling.at);
  const createdMs = createdAt === undefined ? 0 : timestampMs(createdAt);
  const list = await deliveries.listDeliveries({ webhookId, status: DeliveryStatus.CANCELLED, limit: MAX_LISTED }, { signal });
  const cancelled = list.deliveries.filter(
    ({ updatedAt }) => updatedAt !== undefined && timestampMs(updatedAt) >= disabledMs - MOMENT_SLACK_MS,
  );
  const madeMs = cancelled.map((delivery) => (delivery.createdAt === undefined ? disabledMs : timestampMs(delivery.createdAt)));
  // Before its time nothing was missed.
  return Math.max(Math.min(disabledMs, ...madeMs) - MOMENT_SLACK_MS, createdMs);
}

function isDisabling({ field, new: now }: ChangedField): boolean {
  return field === 'is_active' && now !== undefined && toJson(ValueSchema, now) === false;
}
