// Any RPC through any protocol, with all that a caller can see of the answer: what must not differ between "not yours" and "not there".
import { fromJson, getOption, hasOption, toJson } from '@bufbuild/protobuf';
import type { DescMethod, DescMethodUnary, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { http as httpOption } from '../../gen/google/api/annotations_pb.ts';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { restRoutes } from '../../src/transport/rest/routes.ts';

export interface Reply {
  /** `ok`, or the code and the reason. */
  readonly outcome: string;
  /** Of a stream its first message. */
  readonly body: any;
  /** Status, headers and bytes, without the clock. The request id is the same for all calls, so it may stay. */
  readonly seen: unknown;
}

export interface ProtocolClient {
  readonly name: string;
  serves(method: DescMethod): boolean;
  call(method: DescMethod, request: JsonObject, token: string | null): Promise<Reply>;
}

const REQUEST_ID = 'the-same-for-all-calls';
/** Far longer than any call here takes, so that a hang shows as one. */
const TIMEOUT_MS = 20_000;

export function openProtocols(http: string, grpc: string): ProtocolClient[] {
  const baseUrl = http;
  const everything = (): boolean => true;
  const notBidirectional = (method: DescMethod): boolean => method.methodKind !== 'bidi_streaming';
  const readOnly = (method: DescMethod): boolean =>
    method.methodKind === 'unary' && method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  const grpcUrl = `http://${grpc}`;
  // Compressed calls take another way through the gRPC listener than plain ones.
  const gzip = { sendCompression: compressionGzip, compressMinBytes: 0 };
  return [
    restClient(http),
    protocol('Connect', notBidirectional, createConnectTransport({ baseUrl, httpVersion: '1.1' })),
    protocol('Connect GET', readOnly, createConnectTransport({ baseUrl, httpVersion: '1.1', useHttpGet: true })),
    protocol('gRPC-Web', notBidirectional, createGrpcWebTransport({ baseUrl, httpVersion: '1.1' })),
    protocol('gRPC', everything, createGrpcTransport({ baseUrl: grpcUrl })),
    protocol('gRPC, compressed', everything, createGrpcTransport({ baseUrl: grpcUrl, ...gzip })),
  ];
}

function restClient(http: string): ProtocolClient {
  return {
    name: 'REST',
    serves: (method) => hasOption(method, httpOption) && getOption(method, httpOption).pattern.case !== undefined,
    async call(method, request, token) {
      const route = restRoutes([{ service: method.parent, implementation: {} }]).find((it) => it.method === method);
      if (route === undefined) throw new Error(`${method.name} has no REST route`);
      const input = { ...request };
      let path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
        const value = input[name] as string;
        delete input[name];
        return encodeURIComponent(value);
      });
      if (!route.hasBody) path += `?${new URLSearchParams(input as Record<string, string>).toString()}`;
      const response = await fetch(http + path, {
        method: route.verb,
        headers: { ...headersOf(token), ...(route.hasBody ? { 'content-type': 'application/json' } : {}) },
        ...(route.hasBody ? { body: JSON.stringify(input) } : {}),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      const body = text === '' ? undefined : JSON.parse(text);
      return {
        outcome: response.ok ? 'ok' : `${body.error.code} ${body.error.reason}`,
        body,
        seen: [response.status, withoutClock(response.headers), text],
      };
    },
  };
}

function protocol(name: string, serves: ProtocolClient['serves'], transport: Transport): ProtocolClient {
  return {
    name,
    serves,
    async call(method, request, token) {
      try {
        const { message, header } = await first(transport, method, request, token);
        const body = toJson(method.output, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
        return { outcome: 'ok', body, seen: [withoutClock(header), body] };
      } catch (thrown) {
        if (!(thrown instanceof ConnectError)) throw thrown;
        const reason = thrown.findDetails(ErrorInfoSchema)[0]?.reason ?? '';
        const code = (Code[thrown.code] ?? '').replaceAll(/(?<!^)([A-Z])/g, '_$1').toLowerCase();
        const details = thrown.details.map((detail) =>
          'type' in detail && detail.value instanceof Uint8Array ? [detail.type, hex(detail.value)] : detail,
        );
        return {
          outcome: `${code} ${reason}`.trim(),
          body: undefined,
          seen: [thrown.code, thrown.rawMessage, details, withoutClock(thrown.metadata)],
        };
      }
    },
  };
}

async function first(transport: Transport, method: DescMethod, request: JsonObject, token: string | null) {
  const message: Message = fromJson(method.input, request as JsonValue);
  const headers = headersOf(token);
  if (method.methodKind === 'unary') {
    return transport.unary(method as DescMethodUnary, undefined, TIMEOUT_MS, headers, message);
  }
  const leaving = new AbortController();
  try {
    const answer = await transport.stream(method as never, leaving.signal, TIMEOUT_MS, headers, oneOf(message) as never);
    for await (const answered of answer.message as AsyncIterable<Message & { readonly message?: { readonly case?: string } }>) {
      // That a stream begins with what is old says nothing of the things themselves.
      if (answered.message?.case !== 'behind') return { message: answered, header: answer.header };
    }
    throw new Error(`${method.name} ended without a message`);
  } finally {
    leaving.abort();
  }
}

async function* oneOf(message: Message): AsyncIterable<Message> {
  yield message;
}

function headersOf(token: string | null): Record<string, string> {
  return { 'x-request-id': REQUEST_ID, ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
}

/** Headers that name the moment, and of how many calls the caller has left. */
const OWN_TO_THE_CALL: ReadonlySet<string> = new Set(['date', 'ratelimit']);

function withoutClock(headers: Headers): [string, string][] {
  return [...headers].filter(([name]) => !OWN_TO_THE_CALL.has(name)).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
