// The AsyncAPI 3 document of what receivers get: one channel, the receiver's own URL, and a message for each documented event type.
import { type DocumentedType, eventTypes } from '../../domain/event-types.ts';
import { ANSWERING, bodyName, bodySchema, deliveryHeaders } from './delivery-request.ts';
import { deliveryBodyExample } from './examples.ts';
import type { Schema } from './schema.ts';

export function asyncApiDocument(version: string): Schema {
  const names = eventTypes.map(messageName);
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'HomeChef webhooks: what receivers get',
      version,
      description:
        'The service sends each event to the webhooks that are subscribed to its type, as a signed POST, and tries again until it is delivered or given up. Admins add other types: `GET /api/v1/webhooks/events` lists those of a running service.',
      license: { name: 'Proprietary' },
    },
    defaultContentType: 'application/json',
    channels: {
      // Without an address: it is the receiver's own.
      receiver: {
        title: 'The receiver',
        description: 'The URL of a webhook, which its owner registers.',
        messages: Object.fromEntries(names.map((name) => [name, { $ref: `#/components/messages/${name}` }])),
      },
    },
    operations: {
      deliver: {
        action: 'send',
        channel: { $ref: '#/channels/receiver' },
        summary: 'Sends an event to a webhook.',
        description: ANSWERING,
        security: [{ $ref: '#/components/securitySchemes/signature' }],
        bindings: { http: { method: 'POST', bindingVersion: '0.3.0' } },
        messages: names.map((name) => ({ $ref: `#/channels/receiver/messages/${name}` })),
      },
    },
    components: {
      securitySchemes: {
        signature: {
          type: 'httpApiKey',
          name: 'X-HomeChef-Signature',
          in: 'header',
          description: 'An HMAC of the body; Standard Webhooks’ signature stands beside it.',
        },
      },
      messages: Object.fromEntries(eventTypes.map((type) => [messageName(type), message(type)])),
      schemas: {
        DeliveryHeaders: {
          type: 'object',
          required: deliveryHeaders.filter(({ required }) => required).map(({ name }) => name),
          properties: Object.fromEntries(
            deliveryHeaders.map(({ name, description, schema }) => [name, { ...schema, description }]),
          ),
        },
        ...Object.fromEntries(eventTypes.map((type) => [bodyName(type), bodySchema(type)])),
      },
    },
  };
}

function message(type: DocumentedType): Schema {
  return {
    name: type.name,
    title: type.name,
    summary: type.description,
    contentType: 'application/json',
    headers: { $ref: '#/components/schemas/DeliveryHeaders' },
    payload: { $ref: `#/components/schemas/${bodyName(type)}` },
    examples: [{ name: 'sample', payload: deliveryBodyExample(type) }],
  };
}

/** `OrderCreated` for `order.created`. */
function messageName(type: DocumentedType): string {
  return bodyName(type).replace(/Body$/, '');
}
