// The HTTP/1.1 listener: REST, Connect, gRPC-Web, health, and whatever pages and sockets are given to it as extensions.
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { Server as TlsServer } from 'node:tls';
import type { Interceptor } from '@connectrpc/connect';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../../config.ts';
import { ServiceError } from '../../domain/errors.ts';
import { browserSafety } from './browser-headers.ts';
import { createBodyBudget } from '../body/body-budget.ts';
import type { BodyBudget } from '../body/body-budget.ts';
import { SizeLimits } from '../body/size-limits.ts';
import { leftoversOf } from '../body/leftovers.ts';
import { requestIdFrom } from '../call/call-context.ts';
import { connectGateway } from '../connect/connect-gateway.ts';
import { connectOptions } from '../connect/connect-options.ts';
import { toServiceError } from '../call/errors.ts';
import { healthRoutes } from './health-routes.ts';
import type { HealthView } from '../../maintenance/health.ts';
import type { VerifyToken } from '../call/interceptors/authenticate.ts';
import { describeCallers } from '../listener/request-caller.ts';
import { knowPaths, routeOthersAlike } from './other-methods.ts';
import { refusal, rpcProtocolOf } from './refusal.ts';
import { restGateway } from '../rest/gateway.ts';
import type { SendMissingPage } from '../pages/console-page.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import { DEFAULT_LIMITS, MAX_HEADER_BYTES } from '../listener/server-limits.ts';
import type { ServerLimits } from '../listener/server-limits.ts';
import { refuseBadConnection } from './bad-connection.ts';
import { readHttpsTls, watchTls } from '../listener/tls-files.ts';

/** Longer than any id, so that a long one is answered as an invalid id and not as an unknown route. */
const MAX_PARAM_LENGTH = 1000;

export interface HttpServerOptions {
  readonly config: Pick<
    Config,
    'host' | 'httpPort' | 'version' | 'maxMessageBytes' | 'maxBatchBytes' | 'corsOrigins' | 'trustProxy' | 'tls'
  >;
  readonly entries: readonly ServiceEntry[];
  readonly interceptors: Interceptor[];
  readonly verifyToken: VerifyToken;
  readonly health: HealthView;
  /** Other people's routes: `/`, `/docs`, `/openapi.json`, `/ws`. */
  readonly extensions?: readonly FastifyPluginCallback[];
  /** A page instead of the usual error, where the console is served. */
  readonly sendMissingPage?: SendMissingPage;
  /** For failures outside any call: what a caller sees as `internal`, and certificates that cannot be read. */
  readonly onError: (error: unknown) => void;
  readonly limits?: Partial<ServerLimits>;
  /** Shared with the other listener. */
  readonly bodyBudget?: BodyBudget;
}

export interface HttpServer {
  readonly app: FastifyInstance;
  /** Resolves to the port it listens on. */
  listen(): Promise<number>;
  /** Takes no new connections and resolves once the requests in flight are answered, or cut off after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { config } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const sendError = errorSender(options.onError, limits.leftoversMs);
  const app = Fastify({
    // Node's own http options; with TLS the same ones beside the certificate.
    ...(config.tls === null ? { http: nodeLimits(limits) } : { https: { ...readHttpsTls(config.tls), ...nodeLimits(limits) } }),
    // No route has a schema of Fastify's: the contract is checked elsewhere. Without these two it loads compilers for them, a megabyte of source.
    schemaController: { compilersFactory: { buildValidator: hasNoSchemas, buildSerializer: hasNoSchemas } },
    // Of no use: no parser of Fastify's reads a body here.
    bodyLimit: config.maxBatchBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // The only place before the router: it asks for the URL, which stays as it is.
    rewriteUrl: (request) => {
      routeOthersAlike(request);
      return request.url ?? '/';
    },
    genReqId: (request) => requestIdFrom(request.headers['x-request-id']),
    requestIdHeader: false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler: refuseBadConnection,
    frameworkErrors: (error, request, reply) => sendError(error, request as FastifyRequest, reply as FastifyReply),
  }) as unknown as FastifyInstance;
  app.server.headersTimeout = limits.headersTimeoutMs;
  app.server.maxConnections = limits.maxConnections;

  const refuseOtherMethods = knowPaths(app);
  describeCallers(app, config, limits);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    refuseBadHost(request);
  });
  browserSafety(app, { origins: config.corsOrigins, tls: config.tls !== null });
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  // Before Fastify looks at the body of a request that goes nowhere, and finds a media type that it does not know.
  app.addHook('onRequest', async (request, reply) => {
    if (!request.is404) return undefined;
    if ((await options.sendMissingPage?.(request, reply)) === true) return reply;
    throw nothingAt(request);
  });
  // Every body has a parser of ours, so Fastify's lenient ones go.
  app.removeAllContentTypeParsers();
  void app.register(healthRoutes, { health: options.health, version: config.version, verifyToken: options.verifyToken });
  const { entries, interceptors } = options;
  const bodies = {
    entries,
    budget: options.bodyBudget ?? createBodyBudget(config),
    sizes: new SizeLimits(config),
  };
  void app.register(restGateway, { ...bodies, interceptors });
  void app.register(connectGateway, {
    ...bodies,
    interceptors,
    maxCallMs: limits.maxCallMs,
    leftoversMs: limits.leftoversMs,
    connect: connectOptions(interceptors),
  });
  for (const extension of options.extensions ?? []) void app.register(extension);
  refuseOtherMethods();
  return { app, ...lifecycle(app, options, limits) };
}

function lifecycle(
  app: FastifyInstance,
  { config, onError }: HttpServerOptions,
  limits: ServerLimits,
): Pick<HttpServer, 'listen' | 'close'> {
  let stopReloading = (): void => {};
  return {
    async listen() {
      await app.listen({ host: config.host, port: config.httpPort });
      const { tls } = config;
      if (tls !== null && app.server instanceof TlsServer) {
        const { server } = app;
        stopReloading = watchTls(tls, limits.certificatePollMs, () => server.setSecureContext(readHttpsTls(tls)), onError);
      }
      return (app.server.address() as AddressInfo).port;
    },
    async close(graceMs) {
      stopReloading();
      const timer = setTimeout(() => app.server.closeAllConnections(), graceMs);
      await app.close();
      clearTimeout(timer);
    },
  };
}

function hasNoSchemas(): never {
  throw new Error('a route has a schema of Fastify, and its compilers are left out');
}

function nodeLimits(limits: ServerLimits) {
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    // Node keeps the first of two, and a gateway in front may have looked at the other. Joined they are no token, no host and no media type.
    joinDuplicateHeaders: true,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.checkIntervalMs,
  };
}

// Connect builds a URL from it, and one that cannot be built would leave the request without an answer. HTTP/1.0 has none: what probes
// with it (haproxy's httpchk) is answered under a name of ours.
function refuseBadHost(request: FastifyRequest): void {
  if (request.raw.httpVersion === '1.0') request.raw.headers.host ??= 'localhost';
  const { host } = request.headers;
  if (host !== undefined && host !== '' && URL.canParse(`http://${host}`)) return;
  throw new ServiceError('body_malformed', 'The Host header is missing or malformed.');
}

type SendError = (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => void;

function errorSender(onError: (error: unknown) => void, leftoversMs: number): SendError {
  return (thrown, request, reply) => {
    const error = fromFastify(thrown) ?? toServiceError(thrown);
    if (error.code === 'internal' && !(thrown instanceof Error && thrown.name === 'ConnectError')) onError(error);
    const { status, headers, body } = refusal(request.headers, error, request.id);
    void reply.code(status).headers(headers);
    if (request.raw.complete) return void reply.send(body);
    void reply
      .headers({ connection: 'close', 'content-length': Buffer.byteLength(body) })
      .send(Readable.from(endedLate(body, request.raw, leftoversMs)));
  };
}

// The connection is closed behind it, and that must wait.
async function* endedLate(
  body: string | Buffer,
  request: IncomingMessage,
  leftoversMs: number,
): AsyncIterable<string | Buffer> {
  yield body;
  await leftoversOf(request, leftoversMs);
}

function nothingAt(request: FastifyRequest): ServiceError {
  const [path] = request.url.split('?', 1);
  return rpcProtocolOf(request.headers) === null
    ? new ServiceError('route_not_found', `There is nothing at ${path}.`)
    : new ServiceError('unimplemented', `There is no call at ${path}.`);
}

/** Fastify's own refusals, in our words; null for anything else. */
function fromFastify(thrown: unknown): ServiceError | null {
  const { code, statusCode } = thrown as { code?: unknown; statusCode?: unknown };
  if (typeof code !== 'string' || !code.startsWith('FST_')) return null;
  // What is the caller's fault to Fastify is no fault of ours, whichever code it has.
  if (typeof statusCode !== 'number' || statusCode >= 500) return null;
  switch (statusCode) {
    case 413:
      return new ServiceError('message_too_large', 'The body is larger than this service reads.', {
        cause: thrown,
      });
    case 415:
      return new ServiceError('media_type_unsupported', 'Send application/json.', { cause: thrown });
    default:
      return new ServiceError('body_malformed', 'The request is malformed.', { cause: thrown });
  }
}
