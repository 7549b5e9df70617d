// Explains what became of an event: at one webhook, or at those of one user.
import { invalid, notFound } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { effectivePolicy } from '../domain/retry-policy.ts';
import { Delivery } from '../persistence/entities/delivery.ts';
import { Event } from '../persistence/entities/event.ts';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { explainDeliveries, type Explained } from '../persistence/queries/explain-deliveries.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { type Explanation, explanationOf, explanationVerdicts, noWebhookThere } from './explanation.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';

/** Webhooks of one user in an explanation, the newest: as many as one may have by default. */
const MAX_WEBHOOKS = 100;

export interface ExplainInput {
  readonly webhookId: string;
  /** One of the two; the other is empty. */
  readonly eventId: string;
  readonly deliveryId: string;
}

export interface EventExplanation extends Pick<Explanation, 'verdict' | 'summary' | 'rules'> {
  readonly webhooks: readonly Explanation[];
}

/**
 * To a developer an event that does not concern them looks like one that never was. Errors: `not_found`, `invalid_argument` (field_invalid).
 */
export async function explainDelivery(
  context: ManagementContext,
  principal: Principal,
  input: ExplainInput,
): Promise<Explanation> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const { id: webhookId } = await findWebhook(manager, input.webhookId);
  if ((input.eventId === '') === (input.deliveryId === '')) {
    throw invalid('field_invalid', 'event_id', 'must be given, or delivery_id in its place');
  }
  const delivery = input.deliveryId === '' ? null : await manager.findOne(Delivery, { id: input.deliveryId, webhookId });
  if (input.deliveryId !== '' && delivery === null) throw notFound('delivery');
  const event = await findEvent(context, delivery?.eventId ?? input.eventId);
  const [explained] = await explainDeliveries(context.pool, {
    eventId: event.id,
    webhookIds: [webhookId],
    deliveryId: delivery?.id ?? null,
  });
  const concernsThem = explained !== undefined && (explained.delivery !== null || explained.matches.audience);
  if (explained === undefined || (principal.role === 'developer' && !concernsThem)) throw notFound('event');
  return explain(context, event, explained);
}

/**
 * For admins, and for the service that published the event: to others it looks like one that never was. Errors: `not_found`, `invalid_argument`
 * (field_invalid).
 */
export async function explainEvent(
  context: ManagementContext,
  principal: Principal,
  input: { readonly eventId: string; readonly userId: string },
): Promise<EventExplanation> {
  const event = await findEvent(context, input.eventId);
  if (principal.role !== 'admin' && principal.userId !== event.publisher) throw notFound('event');
  if (input.userId === '') throw invalid('field_invalid', 'user_id', 'must be given');
  const webhooks = await entityManagerOf(context.orm, { userId: input.userId }).find(
    WebhookEndpoint,
    { deletedAt: null },
    { orderBy: { id: 'desc' }, limit: MAX_WEBHOOKS, fields: ['id'] },
  );
  const webhookIds = webhooks.map(({ id }) => id);
  const explained = await explainDeliveries(context.pool, { eventId: event.id, webhookIds, deliveryId: null });
  const explanations = explained.map((each) => explain(context, event, each));
  const [best] = explanations.toSorted(
    (a, b) => explanationVerdicts.indexOf(a.verdict) - explanationVerdicts.indexOf(b.verdict),
  );
  const { verdict, summary, rules } = best ?? noWebhookThere();
  return { verdict, summary, rules, webhooks: explanations };
}

function explain(context: ManagementContext, event: FoundEvent, explained: Explained): Explanation {
  const policy = effectivePolicy(explained.retryPolicy, context.config.delivery.retry);
  return explanationOf(explained, { event, policy, lacksKey: lacksKey(context, explained) });
}

type FoundEvent = Pick<Event, 'id' | 'eventType' | 'publisher'>;

// Events have no owner: callers check who may read one.
async function findEvent(context: ManagementContext, id: string): Promise<FoundEvent> {
  if (!isId('event', id)) throw notFound('event');
  const fields = ['id', 'eventType', 'publisher'] as const;
  const event = await entityManagerOf(context.orm, { everyone: true }).findOne(Event, { id }, { fields });
  if (event === null) throw notFound('event');
  return event;
}

function lacksKey({ secretBox }: ManagementContext, { sealed }: Explained): boolean {
  return sealed.some((text) => secretBox.lacksKeyOf(text));
}
