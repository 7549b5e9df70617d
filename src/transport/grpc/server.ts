// The HTTP/2 listener for gRPC: h2c inside the cluster, TLS (and client certificates) where the configuration names files.
import { createSecureServer, createServer, constants } from 'node:http2';
import type {
  IncomingHttpHeaders,
  Http2Server,
  Http2SecureServer,
  Http2ServerRequest,
  Http2ServerResponse,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { Server } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import type { Interceptor } from '@connectrpc/connect';
import { universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { Config } from '../../config.ts';
import { CallerAddress } from '../listener/caller-address.ts';
import { createBodyBudget } from '../body/body-budget.ts';
import type { BodyBudget } from '../body/body-budget.ts';
import { newCallValues, requestIdFrom } from '../call/call-context.ts';
import { ConnectionPlaces } from '../listener/connection-places.ts';
import { connectCall, connectHandlers } from '../connect/connect-calls.ts';
import { ServiceError } from '../../domain/errors.ts';
import { toServiceError } from '../call/errors.ts';
import { restErrorBody, restHeaders, restStatus } from '../rest/rest-error.ts';
import { SizeLimits } from '../body/size-limits.ts';
import { addressOf, isGone, refuse as refuseCall, stopSending } from './call.ts';
import { GrpcConnections } from './connections.ts';
import { Resets } from './resets.ts';
import { mendTrailers } from './trailers.ts';
import { grpcStream } from './stream.ts';
import { grpcUnary } from './unary.ts';
import { connectOptions } from '../connect/connect-options.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import { DEFAULT_LIMITS, MAX_HEADER_BYTES } from '../listener/server-limits.ts';
import type { ServerLimits } from '../listener/server-limits.ts';
import { readGrpcTls, watchTls } from '../listener/tls-files.ts';

const GRPC_TYPE = /^application\/grpc(\+|;|$)/i;
/** Calls at once on one connection. Node's default is four billion. */
const MAX_CONCURRENT_STREAMS = 256;
/**
 * Streams that a client may reset at once, and then each second, whatever they were: all the calls it may have, twice over, and then all
 * of them each second, because deadlines end together. Resets of streams that were no calls are counted by `Resets`, far more narrowly.
 */
const RESET_BURST = 2 * MAX_CONCURRENT_STREAMS;
const RESET_RATE_PER_SECOND = MAX_CONCURRENT_STREAMS;
/** Unanswered pings, settings frames and broken frames that one connection may cost us. */
const MAX_OUTSTANDING_PINGS = 10;
const MAX_OUTSTANDING_SETTINGS = 10;
const MAX_BROKEN_FRAMES = 100;
const MAX_HEADER_PAIRS = 100;
/** Megabytes that one connection may make this process hold. */
const MAX_SESSION_MEMORY_MB = 16;
/** What one call and one connection may send before we have read it: a whole payload, so that large ones need no round trips. */
const STREAM_WINDOW_BYTES = 1_048_576;
const CONNECTION_WINDOW_BYTES = 4_194_304;

export interface GrpcServerOptions {
  readonly config: Pick<Config, 'host' | 'grpcPort' | 'maxMessageBytes' | 'maxBatchBytes' | 'tls' | 'trustProxy'>;
  readonly entries: readonly ServiceEntry[];
  readonly interceptors: Interceptor[];
  readonly onError: (error: unknown) => void;
  readonly limits?: Partial<ServerLimits>;
  /** Shared with the other listener. */
  readonly bodyBudget?: BodyBudget;
}

export interface GrpcServer {
  /** Resolves to the port it listens on. */
  listen(): Promise<number>;
  /** Sends clients away, takes nothing new and resolves once the calls in flight are answered, or cut off after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { config } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const server: Http2Server | Http2SecureServer =
    config.tls === null
      ? createServer(SETTINGS)
      : createSecureServer({ ...SETTINGS, ...readGrpcTls(config.tls), allowHTTP1: false });
  const { entries, interceptors } = options;
  const sizes = new SizeLimits(config);
  const budget = options.bodyBudget ?? createBodyBudget(config);
  const callers = new CallerAddress(config.trustProxy);
  const { maxConnections, strangerIdleMs } = limits;
  const places = new ConnectionPlaces({ maxConnections, strangerIdleMs, isProxy: (address) => callers.isProxy(address) });
  const { maxCallMs, requestTimeoutMs } = limits;
  const answersUnary = grpcUnary({
    entries,
    interceptors,
    callers,
    places,
    sizes,
    maxCallMs,
    requestTimeoutMs,
    budget,
  });
  const answersStream = grpcStream({ entries, interceptors, callers, places, sizes, budget });
  const others = compatibility(options, limits, { callers, places }, { sizes, budget });
  onStreamsThatStay(server, places, (stream, headers, flags, rawHeaders) => {
    if (answersUnary(stream, headers) || answersStream(stream, headers)) return;
    others.emit('stream', stream, headers, flags, rawHeaders);
  });

  server.maxConnections = limits.maxConnections;
  const connections = new GrpcConnections(places);
  server.on('connection', (socket: Socket) => connections.addSocket(socket));
  server.on('session', (session: ServerHttp2Session) => {
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    connections.add(session);
  });
  return lifecycle(server, connections, options, limits);
}

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => void;

// A stream that is reset in the turn it was opened costs no call: those who only open and reset (CVE-2023-44487) get none.
function onStreamsThatStay(server: Http2Server | Http2SecureServer, places: ConnectionPlaces, onStream: OnStream): void {
  let opened: [Resets, Parameters<OnStream>][] = [];
  const begin = (): void => {
    const all = opened;
    opened = [];
    for (const [resets, arrived] of all) if (resets.begins(arrived[0])) onStream(...arrived);
  };
  const resetsOf = new WeakMap<ServerHttp2Session, Resets>();
  server.on('session', (session: ServerHttp2Session) => {
    resetsOf.set(session, new Resets(session, () => places.of(session)));
  });
  server.on('stream', (arrived, headers, flags, rawHeaders) => {
    const stream = arrived as ServerHttp2Stream;
    // A stream that breaks is reported by its close.
    stream.on('error', ignore);
    const resets = stream.session === undefined ? undefined : resetsOf.get(stream.session as ServerHttp2Session);
    if (resets?.opened(stream) !== true) return;
    joinRepeated(headers, rawHeaders);
    if (opened.length === 0) setImmediate(begin);
    opened.push([resets, [stream, headers, flags, rawHeaders]]);
  });
}

// Node keeps the first of two such headers, and a proxy may have read the last. Joined, as on the other listener, they are no token and no
// media type. One pass: 0.1 µs of a call.
function joinRepeated(headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
  let tokens = 0;
  let types = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at] === 'authorization') tokens += 1;
    else if (rawHeaders[at] === 'content-type') types += 1;
  }
  if (tokens > 1) headers.authorization = joined('authorization', rawHeaders);
  if (types > 1) headers['content-type'] = joined('content-type', rawHeaders);
}

function joined(name: string, rawHeaders: readonly string[]): string {
  return rawHeaders.filter((_value, at) => at % 2 === 1 && rawHeaders[at - 1] === name).join(', ');
}

function ignore(): void {}

// Connect wants Node's request and response objects, which only a server makes of a stream: this one never listens.
function compatibility(
  options: GrpcServerOptions,
  limits: ServerLimits,
  { callers, places }: { callers: CallerAddress; places: ConnectionPlaces },
  { sizes, budget }: { sizes: SizeLimits; budget: BodyBudget },
): Http2Server {
  const { entries, interceptors, onError } = options;
  const connect = connectOptions(interceptors);
  const handlers = connectHandlers({ ...connect, grpcWeb: false, connect: false }, entries);
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]));
  const streamingPaths = new Set(entries.flatMap(({ service }) => streamingMethods(service)));
  return createServer((request, response) => {
    const handler = byPath.get(request.url);
    // Node does not repeat it to who begins to listen in the turn after.
    if (response.stream.readableEnded) request.push(null);
    // One id for the call and for the trailers of its failure.
    const requestId = requestIdFrom(request.headers['x-request-id']);
    if (handler === undefined) return refuse(request, response, noSuchCall(), requestId);
    const addTrailers = response.addTrailers.bind(response);
    response.addTrailers = (trailers) => addTrailers(mendTrailers(trailers, requestId));
    response.stream.once('wantTrailers', () => stopSending(response.stream));
    if (!streamingPaths.has(request.url)) boundUpload(request, response, limits.requestTimeoutMs);
    const address = addressOf(response.stream, request.headers, callers);
    connectCall(handler, request, response, newCallValues(requestId, 'grpc', address, places.of(response.stream.session)), {
      limit: sizes.of(handler.method),
      budget,
      address,
      interceptors,
      maxCallMs: limits.maxCallMs,
    }).then(
      (answer) => universalResponseToNodeResponse(answer, response).catch(() => response.stream.close()),
      (error: unknown) => {
        if (error instanceof ConnectError) return refuse(request, response, toServiceError(error), requestId);
        // An :authority that makes no URL: unanswered it would wait for ever.
        onError(error);
        response.stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      },
    );
  });
}

const SETTINGS = {
  settings: {
    maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
    maxHeaderListSize: MAX_HEADER_BYTES,
    initialWindowSize: STREAM_WINDOW_BYTES,
    enablePush: false,
  },
  maxHeaderListPairs: MAX_HEADER_PAIRS,
  maxOutstandingPings: MAX_OUTSTANDING_PINGS,
  maxOutstandingSettings: MAX_OUTSTANDING_SETTINGS,
  maxSessionInvalidFrames: MAX_BROKEN_FRAMES,
  maxSessionRejectedStreams: MAX_BROKEN_FRAMES,
  maxSessionMemory: MAX_SESSION_MEMORY_MB,
  streamResetBurst: RESET_BURST,
  streamResetRate: RESET_RATE_PER_SECOND,
};

function lifecycle(
  server: Http2Server | Http2SecureServer,
  connections: GrpcConnections,
  { config, onError }: GrpcServerOptions,
  limits: ServerLimits,
): GrpcServer {
  let stopReloading = (): void => {};
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(config.grpcPort, config.host, () => {
          server.off('error', reject);
          server.on('error', onError);
          const { tls } = config;
          if (tls !== null && 'setSecureContext' in server) {
            stopReloading = watchTls(tls, limits.certificatePollMs, () => server.setSecureContext(readGrpcTls(tls)), onError);
          }
          resolve((server.address() as AddressInfo).port);
        });
      }),
    close: (graceMs) =>
      new Promise((resolve) => {
        stopReloading();
        const timer = setTimeout(() => connections.destroy(), graceMs);
        // The plain server's close: that of HTTP/2 sends every connection a GOAWAY, and a call that crosses it is dropped.
        Server.prototype.close.call(server, () => {
          clearTimeout(timer);
          resolve();
        });
        connections.retire(graceMs);
      }),
  };
}

function streamingMethods(service: DescService): string[] {
  const isStreaming = (method: DescMethod): boolean =>
    method.methodKind !== 'unary' && method.methodKind !== 'server_streaming';
  return service.methods.filter(isStreaming).map((method) => `/${service.typeName}/${method.name}`);
}

// A message that never ends is cut off in time.
function boundUpload(request: Http2ServerRequest, response: Http2ServerResponse, timeoutMs: number): void {
  const { stream } = response;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), timeoutMs);
  request.once('end', () => clearTimeout(timer));
  stream.once('close', () => clearTimeout(timer));
}

function noSuchCall(): ServiceError {
  return new ServiceError('unimplemented', 'There is no such call here.');
}

// As gRPC wants it: the status in the only headers there are. What is no gRPC gets HTTP's status and the error as REST says it.
function refuse(request: Http2ServerRequest, response: Http2ServerResponse, error: ServiceError, requestId: string): void {
  const { stream } = response;
  if (isGone(stream)) return;
  if (!GRPC_TYPE.test(request.headers['content-type'] ?? '')) {
    const isUnread = error.reason === 'unimplemented';
    const shown = isUnread ? new ServiceError('media_type_unsupported', 'This port speaks gRPC alone.') : error;
    const body = JSON.stringify(restErrorBody(shown, requestId));
    response.writeHead(restStatus(shown), {
      ...restHeaders(shown),
      'content-type': 'application/json',
      'x-request-id': requestId,
    });
    response.end(body);
    return stopSending(stream);
  }
  refuseCall(stream, requestId, error);
}
