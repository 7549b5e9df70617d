// What decides about an event and some webhooks, as it stands: each rule of matching by itself, and the delivery where there is one.
import type { Pool } from 'pg';
import type { AttemptError, AttemptTrigger, DeliveryStatus } from '../../domain/delivery.ts';
import { matchingRules, type MatchingRule } from '../../domain/delivery-rules.ts';
import type { StoredRetryPolicy } from '../../domain/retry-policy.ts';
import { textArray } from '../array-parameter.ts';
import { hasExpired, holdsEverything, isHeld, isLeased, isUnfinished, isWaiting } from '../delivery-state.ts';
import { deliveryIdOf, isActive, matching } from '../matching.ts';

/** The delivery of an event to a webhook. Times are in milliseconds since 1970. */
export interface ExplainedDelivery {
  readonly id: string;
  readonly status: DeliveryStatus;
  readonly isUnfinished: boolean;
  readonly isHeld: boolean;
  readonly isWaiting: boolean;
  /** Of the delivery that has the turn, while this one waits for it. */
  readonly turnId: string | null;
  readonly isLeased: boolean;
  readonly isDue: boolean;
  readonly nextAttemptAtMs: number | null;
  readonly endedAtMs: number | null;
  readonly attemptCount: number;
  readonly retriesUsed: number;
  readonly leaseExpirations: number;
  readonly lastTrigger: AttemptTrigger | null;
  readonly errorCode: AttemptError | null;
  readonly errorMessage: string | null;
  readonly httpStatus: number | null;
  readonly cancelReason: string | null;
  /** Only the newest with the same is sent; null: its event has none. */
  readonly collapseKey: string | null;
  readonly hasExpired: boolean;
  /** No attempt begins later; null: there is no such moment. */
  readonly deliverBeforeMs: number | null;
}

export interface Explained {
  readonly webhookId: string;
  readonly userId: string;
  readonly matches: Readonly<Record<MatchingRule, boolean>>;
  /** Whether the webhook was registered, or changed by a caller or by the service, after the event was published. */
  readonly isYounger: boolean;
  readonly isChangedSince: boolean;
  readonly isDeliverable: boolean;
  readonly isPaused: boolean;
  /** All that must be opened before anything can be sent to it, as it is sealed. */
  readonly sealed: readonly string[];
  readonly retryPolicy: StoredRetryPolicy;
  readonly rateLimit: number;
  readonly consecutiveFailures: number;
  readonly eventTypes: readonly string[];
  /** Null: it has none. */
  readonly filterText: string | null;
  /** Whether jsonb can hold the payload; true when the webhook has no filter. */
  readonly isPayloadHeld: boolean;
  readonly disabledReason: string | null;
  /** When its receiver is asked whether it is back, because the service stopped it for failing; null: it is not. */
  readonly nextProbeAtMs: number | null;
  /** Of its receiver, when it is near its end; null otherwise. */
  readonly certificateExpiresAtMs: number | null;
  readonly delivery: ExplainedDelivery | null;
}

/**
 * One a webhook, newest first; none where the event is not there.
 * @param deliveryId of one that is no ordinary delivery of the event: a test
 */
export async function explainDeliveries(
  pool: Pool,
  { eventId, webhookIds, deliveryId }: { eventId: string; webhookIds: readonly string[]; deliveryId: string | null },
): Promise<Explained[]> {
  const { rows } = await pool.query<Omit<Explained, 'matches'> & Record<MatchingRule, boolean>>({
    name: 'explain-deliveries',
    text: statement,
    values: [eventId, textArray(webhookIds), deliveryId],
  });
  return rows.map(({ audience, active, event_type, filter, ...row }) => ({
    ...row,
    matches: { audience, active, event_type, filter },
  }));
}

const ms = (moment: string): string => `(extract(epoch from ${moment}) * 1000)::float8`;

// The same that an attempt opens: delivery/webhook-directory.ts.
const sealed = `array(
      select text from (
        values (secret), (custom_headers), (client_key), (oauth_secret)
        union all select previous ->> 'sealed' from jsonb_array_elements(previous_secrets) previous
          where (previous ->> 'expires_at')::timestamptz > now()
        union all select private_key from service_keys where w.signs_ed25519 and (signs_until is null or signs_until > now())
      ) opened (text) where text is not null
    )`;

// Documented times of webhooks have no zone and hold UTC.
const statement = `
select w.*, case when d.id is not null then jsonb_build_object(
  'id', d.id, 'status', d.status, 'isUnfinished', ${isUnfinished}, 'isHeld', ${isHeld}, 'isWaiting', coalesce(${isWaiting}, false),
  'turnId', (select h.turn_id from ordering_heads h where h.webhook_id = d.webhook_id and h.ordering_key = d.ordering_key),
  'isLeased', coalesce(${isLeased}, false),
  'isDue', coalesce(d.next_attempt_at <= now(), false), 'nextAttemptAtMs', ${ms('d.next_attempt_at')},
  'endedAtMs', ${ms('coalesce(d.delivered_at, d.failed_at, d.cancelled_at)')}, 'attemptCount', d.attempt_count,
  'retriesUsed', d.retries_used, 'leaseExpirations', d.lease_expirations, 'lastTrigger', d.last_trigger, 'errorCode', d.error_code,
  'errorMessage', d.error_message, 'httpStatus', d.http_status, 'cancelReason', d.cancel_reason,
  'collapseKey', d.collapse_key, 'hasExpired', coalesce(${hasExpired}, false), 'deliverBeforeMs', ${ms('d.deliver_before')}
) end as delivery
from events f
cross join lateral (
  select id as "webhookId", user_id as "userId", ${matchingRules.map((rule) => `(${matching[rule]}) as ${rule}`).join(', ')},
    created_at > (f.created_at at time zone 'utc') as "isYounger", updated_at > (f.created_at at time zone 'utc') as "isChangedSince",
    ${isActive} as "isDeliverable", ${holdsEverything('w')} as "isPaused", ${sealed} as sealed, retry_policy as "retryPolicy",
    rate_limit as "rateLimit", consecutive_failures as "consecutiveFailures", event_types as "eventTypes",
    filter as "filterText", (filter is null or (select payload_document(f.data)) is not null) as "isPayloadHeld",
    disabled_reason as "disabledReason", ${ms('next_probe_at')} as "nextProbeAtMs",
    ${ms('certificate_expires_at')} as "certificateExpiresAtMs"
  from webhook_endpoints w where id = any ($2::text[])
) w
left join deliveries d on d.id = coalesce($3::text, ${deliveryIdOf('$1::text', 'w."webhookId"')})
where f.id = $1
order by w."webhookId" desc`;
