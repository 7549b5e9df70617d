// What receivers get, in the words that both documents use: headers and body of a delivery.
import type { DocumentedType } from '../../domain/event-types.ts';
import type { Schema } from './schema.ts';

export const ANSWERING =
  'Answer with any 2xx within the timeout; the answer’s body is kept for the log but means nothing. 410 disables the webhook, 429 and 503 may name a `Retry-After`. The same delivery may come twice, with the same `delivery_id`.';

const header = (name: string, description: string, schema: Schema = { type: 'string' }, required = true) => ({
  name,
  required,
  description,
  schema,
});

export const deliveryHeaders = [
  header(
    'X-HomeChef-Signature',
    '`sha256=` and the hexadecimal HMAC-SHA256 of the body, keyed with the secret as it was shown.',
  ),
  header('X-HomeChef-Event', 'The event type.'),
  header('X-HomeChef-Delivery', 'The delivery id, the same on every attempt.'),
  header('X-HomeChef-Attempt', 'From 1 on.', { type: 'integer', minimum: 1 }),
  header('webhook-id', 'Standard Webhooks: the delivery id.'),
  header('webhook-timestamp', 'Standard Webhooks: the moment of this attempt, in seconds since 1970.', { type: 'integer' }),
  header(
    'webhook-signature',
    'Standard Webhooks: `v1,` signatures, newest secret first, and `v1a,` signatures where the webhook has `ed25519`, separated by spaces.',
  ),
  header(
    'X-HomeChef-Schema-Version',
    'The version of the type’s schema when the event was published.',
    { type: 'integer', minimum: 1 },
    false,
  ),
  header('traceparent', 'W3C trace context of the publisher’s call.'),
];

/** The body that receivers get, under a name: generators make a type of it, and several of them lose a body that has none. */
export function bodySchema(type: DocumentedType): Schema {
  const { $schema: _, ...data } = type.schema;
  return {
    type: 'object',
    description: type.description,
    required: ['event', 'data', 'timestamp', 'webhook_id', 'delivery_id'],
    properties: {
      event: { type: 'string', const: type.name },
      data,
      timestamp: { type: 'string', format: 'date-time', description: 'When it happened.' },
      webhook_id: { type: 'string' },
      delivery_id: { type: 'string' },
    },
  };
}

/** `OrderCreatedBody` for `order.created`. */
export function bodyName({ name }: DocumentedType): string {
  return `${name.replaceAll(/(?:^|\.)(\w)/g, (_, letter: string) => letter.toUpperCase())}Body`;
}
