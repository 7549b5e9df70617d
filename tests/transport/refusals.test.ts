// What servers and frameworks refuse by themselves is said as every other refusal: with its reason and request id, in the caller's protocol.
import { METHODS } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { connectClient, EVENT, openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';

const PUBLISH = '/homechef.webhook.v1.EventService/PublishEvent';
const STREAM = '/homechef.webhook.v1.EventService/PublishStream';
const LIST = '/homechef.webhook.v1.WebhookService/ListWebhooks';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.calls.length = 0;
  listeners.world.errors.length = 0;
});

/** Sends these lines of HTTP/1.1 and gives the whole answer. */
function raw(head: string, body = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(listeners.httpPort, '127.0.0.1');
    let answer = '';
    socket.write(`${head}\r\nconnection: close\r\n\r\n${body}`);
    socket.on('data', (piece) => (answer += piece.toString()));
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

const token = 'authorization: Bearer service:orders';

test('every method that HTTP has is 405 with Allow where the path exists, and 404 elsewhere', async () => {
  for (const method of METHODS.filter((name) => !['CONNECT', 'GET', 'HEAD'].includes(name))) {
    for (const [path, allow] of [
      ['/livez', 'GET, HEAD'],
      ...(method === 'POST' ? [] : [['/api/v1/webhooks/events', 'GET, POST, HEAD']]),
      ...(method === 'POST' ? [] : [[PUBLISH, 'POST']]),
    ] as const) {
      const answer = await raw(`${method} ${path} HTTP/1.1\r\nhost: x`);
      expect([method, path, answer.split('\r\n')[0]]).toEqual([method, path, 'HTTP/1.1 405 Method Not Allowed']);
      expect(answer).toContain(`\r\nallow: ${allow}\r\n`);
      expect(answer).toContain('"reason":"method_not_allowed"');
    }
    for (const type of ['', 'content-type: text/plain\r\n', 'content-type: nonsense\r\n']) {
      const answer = await raw(`${method} /nowhere HTTP/1.1\r\nhost: x\r\n${type}content-length: 2`, '{}');
      expect([method, type, answer.split('\r\n')[0]]).toEqual([method, type, 'HTTP/1.1 404 Not Found']);
      expect(answer).toContain('"reason":"route_not_found"');
    }
  }
  expect(listeners.world.errors).toEqual([]);
});

test.each([
  ['Authorization', `${token}\r\nauthorization: Bearer developer:user123`, 401, 'token_invalid'],
  ['Authorization, the same twice', `${token}\r\n${token}`, 401, 'token_invalid'],
  ['Host', `${token}\r\nhost: y`, 400, 'body_malformed'],
  ['Content-Type', `${token}\r\ncontent-type: text/plain`, 415, 'media_type_unsupported'],
])('a repeated %s is not guessed at', async (_name, lines, status, reason) => {
  const body = JSON.stringify(EVENT);
  const head = `host: x\r\ncontent-type: application/json\r\n${lines}\r\ncontent-length: ${body.length}`;
  for (const path of ['/api/v1/events', PUBLISH]) {
    const answer = await raw(`POST ${path} HTTP/1.1\r\n${head}`, body);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain(`"reason":"${reason}"`);
  }
  expect(listeners.world.events).toEqual([]);
});

test('a repeated Authorization is not guessed at over gRPC', async () => {
  const headers = await grpc(PUBLISH, { authorization: ['Bearer service:orders', 'Bearer service:others'] });
  expect(headers['grpc-status']).toBe('16');
});

test.each([
  ['a media type that nothing reads', `POST ${PUBLISH}`, 'content-type: text/plain', 415, 'media_type_unsupported'],
  ['no media type', `POST ${PUBLISH}`, 'x: y', 415, 'media_type_unsupported'],
  ['gRPC on the other port', `POST ${PUBLISH}`, 'content-type: application/grpc', 415, 'media_type_unsupported'],
  [
    'a stream of a call that is none',
    `POST ${PUBLISH}`,
    'content-type: application/connect+json',
    200,
    'media_type_unsupported',
  ],
  ['a stream both ways', `POST ${STREAM}`, 'content-type: application/connect+json', 200, 'unimplemented'],
  ['a GET that does not say its encoding', `GET ${LIST}?message={}`, 'x: y', 415, 'media_type_unsupported'],
  ['a GET of what changes something', `GET ${PUBLISH}?encoding=json&message={}`, 'x: y', 405, 'method_not_allowed'],
])('%s is refused with its reason', async (_name, line, header, status, reason) => {
  const answer = await raw(`${line} HTTP/1.1\r\nhost: x\r\n${token}\r\n${header}\r\ncontent-length: 0`);
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(answer).toContain(`"reason":"${reason}"`);
  expect(answer).toContain('request_id');
});

test('what no protocol reads is a call like any other: a stranger is refused first, and it is logged', async () => {
  const type = 'content-type: text/plain\r\ncontent-length: 0';
  expect(await raw(`POST ${PUBLISH} HTTP/1.1\r\nhost: x\r\n${type}`)).toContain('"reason":"token_missing"');
  expect(await raw(`POST ${PUBLISH} HTTP/1.1\r\nhost: x\r\n${token}\r\n${type}`)).toContain('media_type_unsupported');
  expect(listeners.world.calls.map(({ error }) => error?.reason)).toEqual(['token_missing', 'media_type_unsupported']);
});

test('a call that does not exist is unimplemented, with its reason, over every protocol of RPC', async () => {
  const nothing = { ...EventService, methods: [{ ...EventService.method.publishEvent, name: 'Nothing' }] };
  for (const protocol of ['connect', 'grpc-web', 'grpc'] as const) {
    const error = await connectClient(nothing as unknown as typeof EventService, listeners, protocol)
      .publishEvent({})
      .catch((thrown: unknown) => thrown);
    if (!(error instanceof ConnectError)) throw new Error('expected a refusal');
    const [info] = error.findDetails(ErrorInfoSchema);
    expect([protocol, error.code, info?.reason]).toEqual([protocol, Code.Unimplemented, 'unimplemented']);
    expect(info?.metadata['request_id']).toMatch(/^[\w-]{8,}$/);
  }
});

test('the gRPC port answers other protocols with what it speaks', async () => {
  for (const path of [PUBLISH, '/nowhere']) {
    const headers = await grpc(path, { 'content-type': 'application/json', authorization: 'Bearer service:orders' });
    expect(headers[':status']).toBe(415);
  }
});

test.each(['5', '5s', '-1S', '123456789S', 'S', '1.5S', ''])(
  'the deadline %j is refused with its header’s name',
  async (text) => {
    const answers = [
      () => grpc(PUBLISH, { 'grpc-timeout': text, authorization: 'Bearer service:orders' }),
      () =>
        grpc(PUBLISH, {
          'grpc-timeout': text,
          authorization: 'Bearer service:orders',
          'content-type': 'application/grpc+json',
        }),
      () => grpc(STREAM, { 'grpc-timeout': text, authorization: 'Bearer service:orders' }),
      () =>
        raw(
          `POST ${PUBLISH} HTTP/1.1\r\nhost: x\r\n${token}\r\ncontent-type: application/grpc-web+proto\r\ngrpc-timeout: ${text}\r\ncontent-length: 0`,
        ),
      () =>
        raw(
          `POST ${PUBLISH} HTTP/1.1\r\nhost: x\r\n${token}\r\ncontent-type: application/json\r\nconnect-timeout-ms: ${text}s\r\ncontent-length: 2`,
          '{}',
        ),
    ];
    for (const [index, ask] of answers.entries()) {
      await ask();
      const { error } = listeners.world.calls.at(-1) ?? {};
      const field = index === 4 ? 'connect-timeout-ms' : 'grpc-timeout';
      expect([index, error?.reason, error?.violations.map((violation) => violation.field)]).toEqual([
        index,
        'field_invalid',
        [field],
      ]);
    }
    expect(listeners.world.calls).toHaveLength(answers.length);
  },
);

test('a deadline longer than a call may last is no fault', async () => {
  for (const protocol of ['connect', 'grpc-web', 'grpc'] as const) {
    const client = connectClient(EventService, listeners, protocol);
    const event = { eventType: 'order.created', audience: { broadcast: true }, payload: { case: 'data' as const, value: {} } };
    await client.publishEvent(event, { timeoutMs: 3_600_000 });
  }
  expect(listeners.world.calls.map(({ code }) => code)).toEqual(['ok', 'ok', 'ok']);
});

function grpc(path: string, headers: Record<string, string | string[]>): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    const session = connectHttp2(listeners.grpcUrl, { strictSingleValueFields: false } as object);
    // As lines, so that one may stand twice.
    const lines = Object.entries({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const stream = session.request(lines.flatMap(([name, value]) => [value].flat().flatMap((one) => [name, one])));
    const told: Record<string, unknown> = {};
    stream.on('response', (heard) => Object.assign(told, heard));
    stream.on('trailers', (heard) => Object.assign(told, heard));
    stream.on('error', () => {});
    stream.on('close', () => {
      session.close();
      resolve(told);
    });
    stream.resume();
    stream.end();
  });
}
