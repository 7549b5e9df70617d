// One failure, four listeners: the caller learns the same from each.
import { Code, ConnectError } from '@connectrpc/connect';
import type { ServiceError as GrpcError } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { notFound, ServiceError } from '../../src/domain/errors.ts';
import { bearer, connectClient, EVENT, grpcJsClient, openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';

interface Told {
  readonly code: string;
  readonly reason: string | undefined;
  readonly message: string;
  readonly details: readonly { field: string; message: string }[];
  readonly retryAfter: boolean;
}

interface Call {
  readonly token: string | null;
  readonly body: typeof EVENT | { event_type: string; data?: object; audience?: object };
}

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.failure = null;
});

const okCall: Call = { token: 'service:orders', body: EVENT };

/** `InvalidArgument` as REST spells it. */
function codeName(code: number): string {
  return (Code[code] ?? '').replaceAll(/(?<!^)([A-Z])/g, '_$1').toLowerCase();
}

function tellConnectError(error: ConnectError): Told {
  const info = error.findDetails(ErrorInfoSchema)[0];
  expect(info?.domain).toBe('webhook.homechef.com');
  expect(info?.metadata['request_id']).toMatch(/^[\w-]{8,}$/);
  const violations = error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
  return {
    code: codeName(error.code),
    reason: info?.reason,
    message: error.rawMessage,
    details: violations.map(({ field, description }) => ({ field, message: description })),
    retryAfter: error.findDetails(RetryInfoSchema).length > 0,
  };
}

async function throughConnect(protocol: 'connect' | 'grpc-web' | 'grpc', call: Call): Promise<Told> {
  const client = connectClient(EventService, listeners, protocol, call.token);
  const { data, audience } = call.body as { data?: object; audience?: { user_ids?: string[] } };
  const request = {
    eventType: call.body.event_type,
    ...(data === undefined ? {} : { payload: { case: 'data' as const, value: data as never } }),
    ...(audience === undefined ? {} : { audience: { userIds: audience.user_ids ?? [] } }),
  };
  const error: unknown = await client.publishEvent(request).catch((thrown: unknown) => thrown);
  if (!(error instanceof ConnectError)) throw new Error('expected a failure');
  return tellConnectError(error);
}

async function throughGrpcJs(call: Call): Promise<Told> {
  const client = grpcJsClient(listeners, 'EventService');
  const { data, ...others } = call.body;
  const request = { ...others, ...(data === undefined ? {} : { data: { fields: { order_id: { stringValue: 'o1' } } } }) };
  try {
    const error = await new Promise<GrpcError>((resolve, reject) => {
      const publish = client['PublishEvent'] as (...args: unknown[]) => void;
      publish.call(client, request, bearer(call.token), (failure: GrpcError | null) => {
        if (failure === null) reject(new Error('expected a failure'));
        else resolve(failure);
      });
    });
    // What grpc-js hands over is what was on the wire; connect's client reads the same trailer in the other tests.
    const trailer = error.metadata.get('grpc-status-details-bin')[0];
    expect(trailer).toBeInstanceOf(Buffer);
    const wire = (trailer as Buffer).toString('latin1');
    const connect = await throughConnect('grpc', call);
    expect(wire).toContain(connect.reason);
    return {
      ...connect,
      code: codeName(error.code),
      message: error.details,
    };
  } finally {
    client.close();
  }
}

async function throughRest(call: Call): Promise<Told & { status: number }> {
  const { status, json, headers } = await rest(listeners, 'POST', '/api/v1/events', call);
  const { error } = json as {
    error: { code: string; reason: string; message: string; details: Told['details']; request_id: string };
  };
  expect(Object.keys(error)).toEqual(['code', 'reason', 'message', 'request_id', 'details']);
  expect(headers.get('x-request-id')).toBe(error.request_id);
  const { code, reason, message, details } = error;
  return { status, code, reason, message, details, retryAfter: headers.has('retry-after') };
}

const storeDown = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' });
const cases: { name: string; call?: Call; failure?: unknown; told: Partial<Told>; status: number }[] = [
  {
    name: 'no token',
    call: { ...okCall, token: null },
    told: { code: 'unauthenticated', reason: 'token_missing' },
    status: 401,
  },
  {
    name: 'a bad token',
    call: { ...okCall, token: 'x' },
    told: { code: 'unauthenticated', reason: 'token_invalid' },
    status: 401,
  },
  {
    name: 'a role that may not publish',
    call: { ...okCall, token: 'developer:user123' },
    told: { code: 'permission_denied', reason: 'role_not_allowed' },
    status: 403,
  },
  {
    name: 'a field that breaks a rule',
    call: { token: 'service:orders', body: { event_type: '', data: { order_id: 'o1' }, audience: { user_ids: ['a', ''] } } },
    told: { code: 'invalid_argument', reason: 'field_invalid' },
    status: 400,
  },
  {
    name: 'no payload, which goes by the name of its first field',
    call: { token: 'service:orders', body: { event_type: 'order.created', audience: { user_ids: ['a'] } } },
    told: {
      code: 'invalid_argument',
      reason: 'field_invalid',
      details: [{ field: 'data', message: expect.any(String) as string }],
    },
    status: 400,
  },
  {
    name: 'an event type that the service refuses',
    call: { token: 'service:orders', body: { ...EVENT, event_type: 'order.eaten' } },
    told: { code: 'invalid_argument', reason: 'event_type_unknown' },
    status: 400,
  },
  {
    name: 'nothing there',
    failure: notFound('webhook'),
    told: { code: 'not_found', reason: 'not_found', details: [] },
    status: 404,
  },
  {
    name: 'a reused key',
    failure: new ServiceError('idempotency_key_reused', 'x'),
    told: { code: 'already_exists', reason: 'idempotency_key_reused' },
    status: 409,
  },
  {
    name: 'too much work',
    failure: new ServiceError('overloaded', 'x', { retryAfterMs: 1500 }),
    told: { code: 'resource_exhausted', reason: 'overloaded', retryAfter: true },
    status: 429,
  },
  {
    name: 'a payload over the limit',
    failure: new ServiceError('payload_too_large', 'x'),
    told: { code: 'resource_exhausted', reason: 'payload_too_large' },
    status: 413,
  },
  {
    name: 'a state in the way',
    failure: new ServiceError('webhook_inactive', 'x'),
    told: { code: 'failed_precondition' },
    status: 409,
  },
  {
    name: 'a dead database',
    failure: storeDown,
    told: { code: 'unavailable', reason: 'store_unavailable', retryAfter: true },
    status: 503,
  },
  {
    name: 'a dead database inside a wrapper',
    failure: new Error('DriverException', { cause: new AggregateError([storeDown]) }),
    told: { code: 'unavailable', reason: 'store_unavailable' },
    status: 503,
  },
  {
    name: 'a timeout below',
    failure: new DOMException('x', 'TimeoutError'),
    told: { code: 'deadline_exceeded', reason: 'deadline_exceeded' },
    status: 504,
  },
  {
    name: 'a bug',
    failure: new TypeError('select secret from /home/app/src at 10.0.0.7'),
    told: { code: 'internal', reason: 'internal', message: 'Something went wrong on our side.' },
    status: 500,
  },
];

describe.each(cases)('$name', ({ call = okCall, failure = null, told, status }) => {
  test('is the same at every protocol', async () => {
    listeners.world.failure = failure;
    const { status: restStatus, ...viaRest } = await throughRest(call);
    expect(viaRest).toMatchObject(told);
    expect(restStatus).toBe(status);
    expect(await throughConnect('connect', call)).toEqual(viaRest);
    expect(await throughConnect('grpc-web', call)).toEqual(viaRest);
    expect(await throughConnect('grpc', call)).toEqual(viaRest);
    expect(await throughGrpcJs(call)).toEqual(viaRest);
  });
});

test('the log gets the cause that the caller does not', async () => {
  const bug = new TypeError('secret detail');
  listeners.world.failure = bug;
  await rest(listeners, 'POST', '/api/v1/events', { body: EVENT });
  const record = listeners.world.calls.at(-1);
  expect(record).toMatchObject({ method: 'homechef.webhook.v1.EventService/PublishEvent', protocol: 'rest', code: 'internal' });
  expect(record?.principal).toMatchObject({ userId: 'orders', role: 'service' });
  expect(record?.error?.cause).toBe(bug);
});

test('every protocol says which one it was', async () => {
  listeners.world.failure = notFound('webhook');
  await throughConnect('connect', okCall);
  await throughConnect('grpc-web', okCall);
  await throughConnect('grpc', okCall);
  await throughRest(okCall);
  expect(listeners.world.calls.slice(-4).map(({ protocol }) => protocol)).toEqual(['connect', 'grpc-web', 'grpc', 'rest']);
});

test('a 401 says how to authenticate', async () => {
  const { headers } = await rest(listeners, 'GET', '/api/v1/webhooks', { token: null });
  expect(headers.get('www-authenticate')).toBe('Bearer');
});

test('a caller without a token learns nothing about its body', async () => {
  const { status } = await rest(listeners, 'POST', '/api/v1/events', { token: null, body: '{"nonsense":' });
  expect(status).toBe(401);
});
