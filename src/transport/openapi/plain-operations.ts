// The routes that are no RPCs: written by hand, because nothing else describes them.
import type { Schema } from './schema.ts';

const checkState = { type: 'string', enum: ['ok', 'degraded', 'down'] };

function probe(operationId: string, summary: string, schema: Schema, example: object): Schema {
  const content = { 'application/json': { schema, example } };
  return {
    operationId,
    tags: ['Operations'],
    summary,
    security: [],
    responses: { 200: { description: 'Yes.', content }, 503: { description: 'No.', content } },
  };
}

export const plainOperations: Readonly<Record<string, Record<string, Schema>>> = {
  '/livez': {
    get: probe(
      'isLive',
      'Whether the process is worth keeping.',
      { type: 'object', required: ['status'], properties: { status: { type: 'string', enum: ['ok', 'down'] } } },
      { status: 'ok' },
    ),
  },
  '/readyz': {
    get: probe(
      'isReady',
      'Whether the process wants traffic. Without Redis it still does.',
      {
        type: 'object',
        required: ['status'],
        properties: { status: { type: 'string', enum: ['ready', 'not_ready'] } },
        additionalProperties: checkState,
      },
      { status: 'ready', database: 'ok', redis: 'degraded' },
    ),
  },
  '/health': {
    get: {
      ...probe(
        'getHealth',
        'How the service is, with details for admins.',
        {
          type: 'object',
          required: ['status', 'service', 'version', 'timestamp'],
          properties: {
            status: checkState,
            service: { type: 'string' },
            version: { type: 'string' },
            timestamp: { type: 'string', format: 'date-time' },
            checks: { type: 'object', additionalProperties: checkState, description: 'Admins only.' },
            dependencies: { type: 'object', additionalProperties: checkState, description: 'Admins only.' },
          },
        },
        { status: 'ok', service: 'homechef-webhooks', version: '1.0.0', timestamp: '2024-01-15T10:30:00.000Z' },
      ),
      security: [{}, { bearer: [] }],
    },
  },
};
