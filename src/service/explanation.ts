// Says which rule stopped an event on its way to a webhook, in words and as a code.
import {
  type DeliveryRule,
  deliveryRules,
  FAILURES_TO_OPEN,
  isAbsence,
  matchingRules,
  ruleOfWebhook,
  ruleThatEnds,
} from '../domain/delivery-rules.ts';
import type { RetryPolicy } from '../domain/retry-policy.ts';
import type { Explained, ExplainedDelivery } from '../persistence/queries/explain-deliveries.ts';

export const explanationVerdicts = ['delivered', 'waiting', 'ended', 'not_owed'] as const;
/** From the best to the worst. */
export type ExplanationVerdict = (typeof explanationVerdicts)[number];

export interface ExplainedRule {
  readonly code: DeliveryRule;
  readonly result: 'passed' | 'stopped_here' | 'not_reached';
  readonly message: string;
}

export interface Explanation {
  readonly verdict: ExplanationVerdict;
  readonly summary: string;
  readonly rules: readonly ExplainedRule[];
  readonly webhookId: string;
  readonly eventId: string;
  /** Empty: there is none. */
  readonly deliveryId: string;
}

/** What the rules ask, besides what the database says. */
export interface Asked {
  readonly event: { readonly id: string; readonly eventType: string };
  readonly policy: RetryPolicy;
  /** Whether this process lacks the key of the webhook's secrets. */
  readonly lacksKey: boolean;
}

const asks: Readonly<Record<DeliveryRule, string>> = {
  registered: 'The webhook is older than the event.',
  audience: 'The event concerns the owner of the webhook.',
  active: 'The webhook is active.',
  event_type: 'The webhook is subscribed to the type of the event.',
  filter: 'The payload passes the filter of the webhook, if it has one.',
  matched_then: 'The webhook matched when the event was published.',
  not_cancelled: 'The delivery was not cancelled.',
  in_time: 'It is not too late for it.',
  newest: 'No newer event with its collapse key was published.',
  not_gone: 'The receiver has not said that it is gone.',
  not_lost: 'No attempt was lost with its process too often.',
  retries_left: 'Another attempt is left.',
  not_paused: 'The webhook is not paused.',
  turn: 'No other delivery of its ordering key goes before it.',
  secret_key: 'This service can read the secret of the webhook.',
  due: 'Its time has come.',
  not_leased: 'No attempt is under way.',
  receiver_there: 'The receiver has been taking requests.',
  rate_limit: 'The webhook takes another request.',
  place: 'A process has a place for it.',
};

export function explanationOf(explained: Explained, asked: Asked): Explanation {
  const { delivery } = explained;
  const stop = stopOf(explained, asked);
  const found = stop === null ? deliveredSentence(delivery) : sentences[stop](explained, asked);
  const summary = found + certificateSentence(explained);
  return {
    verdict: verdictOf(delivery, stop),
    summary,
    rules: rulesUpTo(stop, summary),
    webhookId: explained.webhookId,
    eventId: asked.event.id,
    deliveryId: delivery?.id ?? '',
  };
}

/** Of a user without webhooks. */
export function noWebhookThere(): Pick<Explanation, 'verdict' | 'summary' | 'rules'> {
  const summary = 'The user has no webhook.';
  return { verdict: 'not_owed', summary, rules: rulesUpTo('registered', summary) };
}

/** The rule that stopped it; null: none did, and it was delivered. */
function stopOf(explained: Explained, { policy, lacksKey }: Asked): DeliveryRule | null {
  const { delivery, matches } = explained;
  if (delivery === null) {
    if (explained.isYounger) return 'registered';
    return matchingRules.find((rule) => !matches[rule]) ?? 'matched_then';
  }
  if (!delivery.isUnfinished) return endOf(delivery, policy);
  if (delivery.hasExpired) return 'in_time';
  // What was held stays so for the moment between a resume and its release.
  if (delivery.isHeld) return 'not_paused';
  const rule = ruleOfWebhook({ ...explained, lacksKey });
  // Before the rule of the secret, which an attempt meets: one that waits makes none.
  if (delivery.isWaiting && rule !== 'active' && rule !== 'not_paused') return 'turn';
  return rule ?? waitOf(explained, delivery);
}

function endOf({ status, ...delivery }: ExplainedDelivery, policy: RetryPolicy): DeliveryRule | null {
  if (status === 'delivered') return null;
  if (status === 'cancelled') return RULES_OF_REASONS[delivery.cancelReason ?? ''] ?? 'not_cancelled';
  const { lastTrigger, retriesUsed, errorCode } = delivery;
  // A delivery that was lost too often ends with this error alone.
  if (errorCode === 'lease_expired') return 'not_lost';
  const tried = { trigger: lastTrigger ?? 'automatic', retriesUsed, leaseExpirations: 0 };
  return ruleThatEnds(delivery, tried, policy) ?? 'retries_left';
}

function waitOf({ rateLimit, consecutiveFailures }: Explained, delivery: ExplainedDelivery): DeliveryRule {
  if (delivery.isLeased) return 'not_leased';
  if (delivery.nextAttemptAtMs !== null && !delivery.isDue) return 'due';
  const isAway = delivery.errorCode !== null && isAbsence(delivery.errorCode) && consecutiveFailures >= FAILURES_TO_OPEN;
  if (isAway) return 'receiver_there';
  return rateLimit > 0 ? 'rate_limit' : 'place';
}

function verdictOf(delivery: ExplainedDelivery | null, stop: DeliveryRule | null): ExplanationVerdict {
  if (delivery === null) return 'not_owed';
  if (stop === null) return 'delivered';
  // What waits for a webhook that was disabled, or too late, is being cancelled.
  return delivery.isUnfinished && stop !== 'active' && stop !== 'in_time' ? 'waiting' : 'ended';
}

function rulesUpTo(stop: DeliveryRule | null, summary: string): ExplainedRule[] {
  const at = stop === null ? deliveryRules.length : deliveryRules.indexOf(stop);
  return deliveryRules.map((code, index) => {
    if (index === at) return { code, result: 'stopped_here', message: summary };
    return { code, result: index < at ? 'passed' : 'not_reached', message: asks[code] };
  });
}

function deliveredSentence(delivery: ExplainedDelivery | null): string {
  return `Delivered ${moment(delivery?.endedAtMs ?? null)}, with attempt ${delivery?.attemptCount ?? 1}.`;
}

/** What is cancelled for another reason was cancelled by its owner, or with its webhook. */
const RULES_OF_REASONS: Readonly<Record<string, DeliveryRule>> = { expired: 'in_time', superseded: 'newest' };

const CANCELLED: Readonly<Record<string, string>> = {
  webhook_disabled: 'The webhook was disabled before it could be delivered.',
  webhook_deleted: 'The webhook was deleted before it could be delivered.',
  retention: 'It was held for so long that it is kept no longer.',
  held_limit: 'Its webhook was paused, and held more than it may.',
  caller: 'It was cancelled by a call.',
};

/** What is found where a rule stops something. */
const sentences: Readonly<Record<DeliveryRule, (explained: Explained, asked: Asked) => string>> = {
  registered: () => 'The webhook was registered after the event was published.',
  audience: () => 'The event concerns other users, and is no broadcast.',
  active: ({ delivery, disabledReason, nextProbeAtMs }) => {
    const why = disabledReason === null ? 'The webhook is disabled' : `The service disabled the webhook (${disabledReason})`;
    const becomes = delivery === null ? `${why}.` : `${why}, so what waits for it is being cancelled.`;
    return becomes + probeSentence(nextProbeAtMs);
  },
  event_type: ({ eventTypes }, { event }) =>
    `The event is ${event.eventType}; the webhook is subscribed to ${eventTypes.join(', ')}.`,
  filter: ({ filterText, isPayloadHeld }) =>
    isPayloadHeld
      ? `The payload does not pass the filter of the webhook: ${filterText ?? ''}.`
      : 'The payload holds what PostgreSQL cannot read as jsonb, such as the character \\u0000: it passes no filter.',
  matched_then: ({ isChangedSince }) =>
    isChangedSince
      ? 'The webhook matches as it is now, and did not when the event was published: it was changed since.'
      : 'The webhook matches as it is now, and did not when the event was published.',
  not_cancelled: ({ delivery }) =>
    CANCELLED[delivery?.cancelReason ?? ''] ?? 'The webhook was disabled or deleted before it could be delivered.',
  in_time: ({ delivery }) =>
    `It was to be delivered before ${new Date(delivery?.deliverBeforeMs ?? 0).toISOString()}, and is not sent any more.`,
  newest: ({ delivery }) =>
    `A newer event with the collapse key ${delivery?.collapseKey ?? ''} was published before it could be delivered.`,
  not_gone: () => 'The receiver answered 410: it is gone for good.',
  not_lost: ({ delivery }) =>
    `Given up after ${delivery?.attemptCount ?? 0} attempts, of which too many ended with the process that made them.`,
  retries_left: ({ delivery }) =>
    delivery?.lastTrigger === 'test'
      ? `A test is not sent again. ${delivery.errorMessage ?? ''}`.trim()
      : `Given up after ${delivery?.attemptCount ?? 0} attempts. ${delivery?.errorMessage ?? ''}`.trim(),
  not_paused: ({ nextProbeAtMs }) =>
    `The webhook is paused: the delivery is held until it is resumed.${probeSentence(nextProbeAtMs)}`,
  turn: ({ delivery }) =>
    `It waits for its turn: ${delivery?.turnId ?? 'another delivery'} of the same ordering key goes before it.`,
  secret_key: () => 'This service lacks the key that the secret of the webhook is sealed under; its operators have to add it.',
  due: ({ delivery }) => {
    const when = moment(delivery?.nextAttemptAtMs ?? null);
    return delivery?.errorMessage == null ? `It is sent ${when}.` : `${delivery.errorMessage} It is sent again ${when}.`;
  },
  not_leased: () => 'An attempt is under way.',
  receiver_there: ({ consecutiveFailures, delivery }) =>
    delivery?.errorCode?.startsWith('oauth_token_') === true
      ? `${delivery.errorMessage ?? 'There is no access token.'} The last ${consecutiveFailures} attempts failed, so they are made one at a time.`
      : `The receiver took none of the last ${consecutiveFailures} requests, so they are tried one at a time.`,
  rate_limit: ({ rateLimit }) => `It is due. The webhook takes ${rateLimit} requests a second, and others may be before it.`,
  place: () => 'It is due, and sent as soon as a process has a place for it.',
};

/** Of what is still to be sent, and of what was given up for it: a certificate near its end does not stop a delivery, but the next ones. */
function certificateSentence({ certificateExpiresAtMs, delivery }: Explained): string {
  const matters = delivery !== null && (delivery.isUnfinished || delivery.errorCode?.startsWith('tls_certificate_') === true);
  if (certificateExpiresAtMs === null || !matters) return '';
  return ` The certificate of its receiver is good until ${new Date(certificateExpiresAtMs).toISOString()}: renew it.`;
}

function moment(ms: number | null): string {
  return ms === null ? 'soon' : `at ${new Date(ms).toISOString()}`;
}

/** Of a webhook that the service has stopped for failing. */
function probeSentence(nextProbeAtMs: number | null): string {
  return nextProbeAtMs === null ? '' : ` Its receiver is asked ${moment(nextProbeAtMs)} whether it is back.`;
}
