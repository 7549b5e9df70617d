// Every protocol, format and shape that the service speaks, as one function: a request goes out as bytes, a refusal comes back.
import { gzipSync } from 'node:zlib';
import { fromJson, toBinary, type DescMessage, type DescMethod, type JsonObject } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { ReplayService } from '../../gen/homechef/webhook/v1/replay_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { listBeside } from '../../src/transport/rest/query-input.ts';
import { restRoutes } from '../../src/transport/rest/routes.ts';
import { commandLine } from './command-line.ts';
import {
  toldByConnect,
  toldByConnectStream,
  toldByGrpc,
  toldByRest,
  toldByWebSocket,
  type Results,
  type Told,
} from './told.ts';
import { frame, overHttp1, overHttp2, overWebSocket, type Headers, type Reply } from './wire.ts';

export interface Ask {
  readonly rpc: string;
  /** The request in JSON, with the names of the .proto. */
  readonly message: JsonObject;
  /** Instead: the text of the request, which need be no JSON that a library would write. */
  readonly text?: string;
  /** Instead: bytes that are no request, as the protocol's format has them. */
  readonly isMalformed?: boolean;
  /** Several are sent one by one. */
  readonly token: string | readonly string[] | null;
  readonly headers?: Headers;
  readonly contentType?: string;
  readonly encoding?: string;
  readonly deadline?: string;
  readonly method?: string;
  /** Instead of the RPC's own. */
  readonly path?: string;
}

/** What of a call a protocol lets one say wrongly. */
export type Feature = 'body' | 'token' | 'encoding' | 'deadline' | 'media type' | 'rpc path' | 'rest path';

export interface Protocol {
  readonly name: string;
  readonly format: 'json' | 'protobuf' | 'query' | 'arguments';
  readonly features: ReadonlySet<Feature>;
  readonly deadlineHeader?: 'grpc-timeout' | 'connect-timeout-ms';
  /** Whether the protocol can ask it. An event can also be asked as one of a batch, or of a stream. */
  serves(rpc: string): boolean;
  /** As the protocol names a field of the request. */
  fieldName(field: string): string;
  /** Null: the protocol cannot say it. */
  ask(ask: Ask): Promise<Told | null>;
}

const services = [WebhookService, DeliveryService, ReplayService, EventService];
const methods = new Map<string, DescMethod>(services.flatMap(({ methods: all }) => all).map((method) => [method.name, method]));
export const routes = restRoutes(services.map((service) => ({ service, implementation: {} })));
const MALFORMED_PROTOBUF = Buffer.from([0x0a, 0x05, 0x61]);

function methodOf(rpc: string): DescMethod {
  const method = methods.get(rpc);
  if (method === undefined) throw new Error(`no RPC is called ${rpc}`);
  return method;
}

const pathOf = ({ parent, name }: DescMethod): string => `/${parent.typeName}/${name}`;
const isUnary = (rpc: string): boolean => methodOf(rpc).methodKind === 'unary';
const isRead = (rpc: string): boolean => methodOf(rpc).idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
const isEvent = (rpc: string): boolean => rpc === 'PublishEvent';
/** Of publishers: developers may not. */
export const isOfEvents = (rpc: string): boolean => methodOf(rpc).parent === EventService;
const isWatch = (rpc: string): boolean => rpc === 'WatchDeliveries';
/** A stream that the service sends. A WebSocket has one of them alone. */
const isServerStream = (rpc: string): boolean => methodOf(rpc).methodKind === 'server_streaming';

/** How an event is asked: by itself, or within something. */
const WITHIN = {
  batch: {
    rpc: 'PublishEvents',
    json: (text: string) => `{"events":[${text}]}`,
    message: (event: JsonObject) => ({ events: [event] }),
  },
  stream: { rpc: 'PublishStream', json: (text: string) => `{"event":${text}}`, message: (event: JsonObject) => ({ event }) },
} as const;

function bytesOf(ask: Ask, format: 'json' | 'protobuf', results: Results): Buffer {
  if (ask.isMalformed === true) return format === 'json' ? Buffer.from('{') : MALFORMED_PROTOBUF;
  const within = results === null ? null : WITHIN[results];
  if (format === 'json') {
    const text = ask.text ?? JSON.stringify(ask.message);
    return Buffer.from(within?.json(text) ?? text);
  }
  const schema = methodOf(within?.rpc ?? ask.rpc).input;
  return Buffer.from(toBinary(schema, fromJson(schema, within?.message(ask.message) ?? ask.message)));
}

function tokenLine({ token, headers = {} }: Ask): Headers {
  if (token === null) return headers;
  const [first = '', ...more] = [token].flat().map((one) => `Bearer ${one}`);
  return { ...headers, authorization: more.length === 0 ? first : [first, ...more] };
}

function lines(ask: Ask, type: string, encodingHeader: string, packed: string | null, deadlineHeader: string | null): Headers {
  const encoding = ask.encoding ?? packed;
  return {
    ...tokenLine(ask),
    'content-type': ask.contentType ?? type,
    ...(encoding === null ? {} : { [encodingHeader]: encoding }),
    ...(ask.deadline === undefined || deadlineHeader === null ? {} : { [deadlineHeader]: ask.deadline }),
  };
}

const same = (field: string): string => field;

function rest(http: string, isPacked: boolean, results: Results): Protocol {
  const features: Feature[] = [
    'body',
    'token',
    'encoding',
    'media type',
    ...(results === null ? (['rest path'] as const) : []),
  ];
  return {
    name: `REST${isPacked ? ' gzip' : ''}${results === null ? '' : ' batch'}`,
    format: 'json',
    features: new Set(features),
    serves: (rpc) => (results === null ? isUnary(rpc) && routes.some(({ method }) => method.name === rpc) : isEvent(rpc)),
    fieldName: (field) => {
      const [base = ''] = field.split('[', 1);
      return (field.endsWith(']') ? oneName(methodOf('ListDeliveries').input, base) : undefined) ?? field;
    },
    async ask(ask) {
      const rpc = results === 'batch' ? WITHIN.batch.rpc : ask.rpc;
      const route = routes.find(({ method }) => method.name === rpc);
      if (route === undefined) throw new Error(`${rpc} has no route`);
      const input = { ...ask.message };
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
        const value = textOf(input[name]);
        delete input[name];
        return encodeURIComponent(value);
      });
      const { verb } = route;
      if (!route.hasBody) {
        const query = ask.isMalformed === true ? 'x=%ff' : queryOf(withRepeatedNames(route.method, input));
        return toldByRest(
          await overHttp1(http, { method: ask.method ?? verb, path: `${ask.path ?? path}?${query}`, headers: tokenLine(ask) }),
          null,
        );
      }
      const body = bytesOf({ ...ask, message: input }, 'json', results);
      const headers = lines(ask, 'application/json', 'content-encoding', isPacked ? 'gzip' : null, null);
      const request = { method: ask.method ?? verb, path: ask.path ?? path, headers, body: isPacked ? gzipSync(body) : body };
      return toldByRest(await overHttp1(http, request), results);
    },
  };
}

function textOf(value: JsonObject[string] | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

// A query has several of a thing by repeating the name of one.
function withRepeatedNames({ input: schema }: DescMethod, input: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(input).map(([name, value]) => [oneName(schema, name) ?? name, value]));
}

function oneName(schema: DescMessage, list: string): string | undefined {
  return schema.fields.find(({ name }) => listBeside(schema, name)?.name === list)?.name;
}

function queryOf(input: JsonObject): string {
  const pairs = Object.entries(input).flatMap(([name, value]) => [value].flat().map((one) => [name, textOf(one)]));
  return new URLSearchParams(pairs).toString();
}

interface Framing {
  readonly format: 'json' | 'protobuf';
  readonly isPacked?: boolean;
  readonly results?: Results;
}

function connectUnary(http: string, { format, isPacked = false, results = null }: Framing): Protocol {
  return {
    name: named('Connect', format, isPacked, results),
    format,
    features: new Set(['body', 'token', 'encoding', 'deadline', 'media type', 'rpc path']),
    deadlineHeader: 'connect-timeout-ms',
    serves: (rpc) => (results === null ? isUnary(rpc) : isEvent(rpc)),
    fieldName: same,
    async ask(ask) {
      const body = bytesOf(ask, format, results);
      const type = `application/${format === 'json' ? 'json' : 'proto'}`;
      const headers = {
        ...lines(ask, type, 'content-encoding', isPacked ? 'gzip' : null, 'connect-timeout-ms'),
        'connect-protocol-version': '1',
      };
      const path = ask.path ?? pathOf(methodOf(results === null ? ask.rpc : WITHIN[results].rpc));
      const request = { method: ask.method ?? 'POST', path, headers, body: isPacked ? gzipSync(body) : body };
      return toldByConnect(await overHttp1(http, request), format === 'json', results);
    },
  };
}

function connectGet(http: string, format: 'json' | 'protobuf'): Protocol {
  return {
    name: `Connect GET ${format}`,
    format,
    features: new Set(['body', 'token', 'encoding', 'deadline', 'media type', 'rpc path']),
    deadlineHeader: 'connect-timeout-ms',
    serves: (rpc) => isUnary(rpc) && isRead(rpc),
    fieldName: same,
    async ask(ask) {
      const query = new URLSearchParams({
        connect: 'v1',
        encoding: ask.contentType ?? (format === 'json' ? 'json' : 'proto'),
        base64: '1',
        message: bytesOf(ask, format, null).toString('base64url'),
        ...(ask.encoding === undefined ? {} : { compression: ask.encoding }),
      });
      const headers = {
        ...tokenLine(ask),
        'connect-protocol-version': '1',
        ...(ask.deadline === undefined ? {} : { 'connect-timeout-ms': ask.deadline }),
      };
      const path = `${ask.path ?? pathOf(methodOf(ask.rpc))}?${query.toString()}`;
      return toldByConnect(await overHttp1(http, { method: ask.method ?? 'GET', path, headers }), format === 'json', null);
    },
  };
}

function connectWatch(http: string, { format }: Framing): Protocol {
  return {
    name: named('Connect watch', format, false, null),
    format,
    features: new Set(['body', 'token', 'encoding', 'deadline', 'media type', 'rpc path']),
    deadlineHeader: 'connect-timeout-ms',
    serves: isServerStream,
    fieldName: same,
    async ask(ask) {
      const type = `application/connect+${format === 'json' ? 'json' : 'proto'}`;
      const headers = lines(ask, type, 'connect-content-encoding', null, 'connect-timeout-ms');
      const request = { path: ask.path ?? pathOf(methodOf(ask.rpc)), headers, body: frame(bytesOf(ask, format, null)) };
      return toldByConnectStream(await overHttp1(http, { method: ask.method ?? 'POST', ...request }));
    },
  };
}

interface GrpcWay extends Framing {
  readonly shape: 'unary' | 'watch';
}

function grpc(
  kind: 'gRPC' | 'gRPC-Web',
  call: (request: { method: string; path: string; headers: Headers; body: Buffer }) => Promise<Reply>,
  { format, isPacked = false, results = null, shape }: GrpcWay,
): Protocol {
  const prefix = kind === 'gRPC' ? 'application/grpc' : 'application/grpc-web';
  return {
    name: named(shape === 'watch' ? `${kind} watch` : kind, format, isPacked, results),
    format,
    features: new Set(['body', 'token', 'encoding', 'deadline', 'media type', 'rpc path']),
    deadlineHeader: 'grpc-timeout',
    serves: (rpc) => (shape === 'watch' ? isServerStream(rpc) : results === null ? isUnary(rpc) : isEvent(rpc)),
    fieldName: same,
    async ask(ask) {
      const bytes = bytesOf(ask, format, results);
      const headers = lines(
        ask,
        `${prefix}+${format === 'json' ? 'json' : 'proto'}`,
        'grpc-encoding',
        isPacked ? 'gzip' : null,
        'grpc-timeout',
      );
      const path = ask.path ?? pathOf(methodOf(results === null ? ask.rpc : WITHIN[results].rpc));
      const body = isPacked ? frame(gzipSync(bytes), 1) : frame(bytes);
      return toldByGrpc(await call({ method: ask.method ?? 'POST', path, headers, body }), format === 'json', results);
    },
  };
}

/** In a query lists have the name of one, and it is what the address of a WebSocket can hold. */
const QUERY_NAMES: Readonly<Record<string, string>> = {
  webhook_ids: 'webhook_id',
  event_types: 'event_type',
  statuses: 'status',
};

function webSocketQuery(http: string): Protocol {
  return {
    name: 'WebSocket query',
    format: 'query',
    features: new Set(['body', 'token']),
    serves: isWatch,
    fieldName: (field) => {
      const [base = ''] = field.split('[', 1);
      return QUERY_NAMES[base] ?? field;
    },
    async ask(ask) {
      const input = Object.entries(ask.message).map(([name, value]): [string, JsonObject[string]] => [
        QUERY_NAMES[name] ?? name,
        value,
      ]);
      const query = ask.isMalformed === true ? 'status=%ff' : queryOf(Object.fromEntries(input));
      return toldByWebSocket(await overWebSocket(http, `/ws?${query}`, tokenLine(ask), null));
    },
  };
}

function webSocketMessage(http: string): Protocol {
  return {
    name: 'WebSocket subscribe',
    format: 'json',
    features: new Set(['body']),
    serves: isWatch,
    fieldName: same,
    async ask(ask) {
      const text = ask.isMalformed === true ? '{' : JSON.stringify({ type: 'subscribe', ...ask.message });
      return toldByWebSocket(await overWebSocket(http, '/ws', tokenLine(ask), text));
    },
  };
}

function named(kind: string, format: string, isPacked: boolean, results: Results): string {
  return [kind, format, isPacked ? 'gzip' : '', results ?? ''].filter((word) => word !== '').join(' ');
}

/** `http` is `http://host:port`, `address` the gRPC listener's `host:port`. */
export function everyProtocol(http: string, address: string): Protocol[] {
  const formats = ['protobuf', 'json'] as const;
  const web = (way: GrpcWay): Protocol => grpc('gRPC-Web', (request) => overHttp1(http, request), way);
  const plain = (way: GrpcWay): Protocol => grpc('gRPC', (request) => overHttp2(address, request), way);
  return [
    rest(http, false, null),
    rest(http, true, null),
    rest(http, false, 'batch'),
    rest(http, true, 'batch'),
    ...formats.flatMap((format) => [
      connectUnary(http, { format }),
      connectUnary(http, { format, isPacked: true }),
      connectUnary(http, { format, results: 'batch' }),
      connectGet(http, format),
      connectWatch(http, { format }),
      web({ format, shape: 'unary' }),
      web({ format, shape: 'unary', isPacked: true }),
      web({ format, shape: 'unary', results: 'batch' }),
      web({ format, shape: 'watch' }),
      plain({ format, shape: 'unary' }),
      plain({ format, shape: 'unary', isPacked: true }),
      plain({ format, shape: 'unary', results: 'batch' }),
      plain({ format, shape: 'unary', results: 'stream' }),
      plain({ format, shape: 'unary', results: 'stream', isPacked: true }),
      plain({ format, shape: 'watch' }),
    ]),
    webSocketQuery(http),
    webSocketMessage(http),
    commandLine(http),
  ];
}
