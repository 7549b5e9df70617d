// The routes that are no RPCs: written by hand, because nothing else describes them.
import type { Schema } from './schema.ts';

const checkState = { $ref: '#/components/schemas/CheckState' };
const storeState = { $ref: '#/components/schemas/StoreState' };
const problems: Schema = {
  type: 'object',
  additionalProperties: { type: 'string' },
  description: 'A sentence for each check that is not `ok`.',
};

/** What these operations refer to by name: enums that stand in a place of their own get one type, not one for each use. */
export const plainSchemas: Readonly<Record<string, Schema>> = {
  CheckState: {
    type: 'string',
    description: 'How a part of the service is.',
    enum: ['ok', 'degraded', 'down'],
    'x-enum-varnames': ['CHECK_STATE_OK', 'CHECK_STATE_DEGRADED', 'CHECK_STATE_DOWN'],
  },
  StoreState: {
    type: 'string',
    description: 'How a store is, which may refuse writes alone.',
    enum: ['ok', 'degraded', 'read_only', 'down'],
    'x-enum-varnames': ['STORE_STATE_OK', 'STORE_STATE_DEGRADED', 'STORE_STATE_READ_ONLY', 'STORE_STATE_DOWN'],
  },
};

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
        properties: { status: { type: 'string', enum: ['ready', 'not_ready'] }, problems },
        additionalProperties: storeState,
      },
      {
        status: 'ready',
        database: 'ok',
        redis: 'degraded',
        problems: { redis: 'Redis does not serve the schedule; PostgreSQL does.' },
      },
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
            checks: { type: 'object', additionalProperties: storeState, description: 'Admins only.' },
            problems: { ...problems, description: 'Admins only. A sentence for each check that is not `ok`.' },
            dependencies: { type: 'object', additionalProperties: checkState, description: 'Admins only.' },
          },
        },
        { status: 'ok', service: 'homechef-webhooks', version: '1.0.0', timestamp: '2024-01-15T10:30:00.000Z' },
      ),
      security: [{}, { bearer: [] }],
    },
  },
  '/.well-known/webhook-keys': {
    get: {
      operationId: 'getWebhookKeys',
      tags: ['Webhooks'],
      summary: 'The public keys that verify Ed25519 signatures, as a JSON Web Key Set',
      description:
        'The keys that sign now, newest first. May be cached for five minutes; ask again when no key verifies a request.',
      security: [],
      responses: {
        200: {
          description: 'The keys.',
          content: {
            'application/jwk-set+json': {
              schema: {
                type: 'object',
                required: ['keys'],
                properties: {
                  keys: {
                    type: 'array',
                    items: {
                      type: 'object',
                      required: ['kty', 'crv', 'x', 'kid', 'use', 'alg'],
                      properties: {
                        kty: { type: 'string', const: 'OKP' },
                        crv: { type: 'string', const: 'Ed25519' },
                        x: { type: 'string', description: 'The public key, 32 bytes in base64url.' },
                        kid: { type: 'string' },
                        use: { type: 'string', const: 'sig' },
                        alg: { type: 'string', const: 'EdDSA' },
                      },
                    },
                  },
                },
              },
              example: {
                keys: [
                  {
                    kty: 'OKP',
                    crv: 'Ed25519',
                    x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
                    kid: 'key_01hm5w0qs8f4e2b6d9c1a7g3h5',
                    use: 'sig',
                    alg: 'EdDSA',
                  },
                ],
              },
            },
          },
        },
      },
    },
  },
  '/ws': {
    get: {
      operationId: 'watchOverWebSocket',
      tags: ['Deliveries'],
      summary: 'The live feed over a WebSocket',
      description:
        'Speaks the subprotocol `homechef.v1`: one JSON message for each change of a delivery. Browsers bring their token as a second subprotocol, `bearer.<token>`; the query narrows what is watched.',
      parameters: [
        {
          name: 'after',
          in: 'query',
          description: 'The cursor of the last update seen; empty means from now on.',
          schema: { type: 'string' },
        },
        {
          name: 'user_id',
          in: 'query',
          description: 'Services and admins: only this user’s deliveries.',
          schema: { type: 'string' },
        },
        {
          name: 'user_type',
          in: 'query',
          description: 'A narrower role than the token’s.',
          schema: { type: 'string', enum: ['developer', 'service', 'admin'] },
        },
      ],
      responses: {
        101: { description: 'The WebSocket is open.' },
        401: { $ref: '#/components/responses/Error401' },
        403: { $ref: '#/components/responses/Error403' },
        426: { description: 'This was no WebSocket.' },
      },
    },
  },
  '/ws/status': {
    get: {
      operationId: 'getFeedStatus',
      tags: ['Deliveries'],
      summary: 'How the live feed of this process is doing: the caller’s own part, or all of it for admins',
      responses: {
        200: {
          description: 'The feed.',
          content: {
            'application/json': {
              schema: {
                type: 'object',
                required: ['connections', 'watchers', 'lag_ms', 'buffered', 'buffered_bytes', 'dropped'],
                properties: {
                  connections: { type: 'integer', description: 'WebSockets.' },
                  watchers: { type: 'integer', description: 'WebSockets and streams.' },
                  lag_ms: { type: 'integer', description: 'How far the slowest of them is behind.' },
                  buffered: { type: 'integer', description: 'Updates that wait for slow watchers.' },
                  buffered_bytes: { type: 'integer', description: 'Bytes that wait in sockets.' },
                  dropped: { type: 'integer', description: 'Updates that did not fit.' },
                },
              },
              example: { connections: 1, watchers: 2, lag_ms: 0, buffered: 0, buffered_bytes: 0, dropped: 0 },
            },
          },
        },
        401: { $ref: '#/components/responses/Error401' },
      },
    },
  },
};
