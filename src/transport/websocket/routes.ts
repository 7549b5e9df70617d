// GET /ws: the live feed over a WebSocket; GET /ws/status: how it is doing.
import type { IncomingMessage } from 'node:http';
import webSocketPlugin from '@fastify/websocket';
import type { FastifyInstance, FastifyPluginCallback, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { Config } from '../../config.ts';
import { invalid, ServiceError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { StatusBus } from '../../realtime/status-bus.ts';
import type { Watcher } from '../../realtime/watcher.ts';
import { callerRoles, type CallerRole, type Principal } from '../../security/tokens.ts';
import type { ServiceContext } from '../../service/context.ts';
import { watchDeliveries } from '../../service/watch-deliveries.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { VerifyToken } from '../call/interceptors/authenticate.ts';
import type { CountCall } from '../call/interceptors/limit-rate.ts';
import { requireLocalHost } from '../listener/local-host.ts';
import { toServiceError } from '../call/errors.ts';
import { queryParameters } from '../rest/query-input.ts';
import { watchInput } from '../rpc/watch-input.ts';
import { errorText, watchRequestOfQuery } from './messages.ts';
import { closeCodes, WebSocketSession } from './session.ts';

const PATH = '/ws';
/** The subprotocol that is spoken; a browser, which cannot set headers, brings its token beside it as `bearer.<token>`. */
const PROTOCOL = 'homechef.v1';
const TOKEN_PREFIX = 'bearer.';
/** What a client may send in one message: a subscription with all its lists full is a tenth of it. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** A client's messages are short; more pieces than this are an attempt to make us glue. */
const MAX_FRAGMENTS = 64;
/** Shorter than the minute after which most proxies cut a quiet connection. */
const PING_INTERVAL_MS = 30_000;
/** How long a closing handshake may take before the socket is cut, at shutdown as at any time. */
const CLOSE_TIMEOUT_MS = 2000;
/** Roles from the narrowest to the widest. `user_type` chooses one that is not wider than the token's. */
const WIDTHS: Record<CallerRole, number> = { developer: 0, service: 1, admin: 2 };

export interface WebSocketOptions {
  readonly config: Pick<Config, 'environment' | 'corsOrigins'>;
  readonly context: Pick<ServiceContext, 'feed'>;
  readonly bus: Pick<StatusBus, 'onNotice'>;
  readonly verifyToken: VerifyToken;
  /** Each connect, each subscription and each look at the status is a call of the user's. */
  readonly countCall: CountCall;
  readonly log: Logger;
  /** For tests. */
  readonly pingIntervalMs?: number;
}

// Not written in place, because the types of ws do not know closeTimeout yet.
const serverOptions = {
  maxPayload: MAX_MESSAGE_BYTES,
  maxFragments: MAX_FRAGMENTS,
  closeTimeout: CLOSE_TIMEOUT_MS,
  clientTracking: true,
  handleProtocols: (protocols: Set<string>) => (protocols.has(PROTOCOL) ? PROTOCOL : false),
};

/** What is made for a socket before the upgrade; or the refusal that it is sent and closed with. */
type Admission = { readonly principal: Principal; readonly watcher: Watcher } | { readonly refusal: ServiceError };

export function webSocketRoutes(options: WebSocketOptions): FastifyPluginCallback {
  const sessions = new Set<WebSocketSession>();
  const admissions = new WeakMap<IncomingMessage, Admission>();

  return (app, _options, done) => {
    // Only what can become a WebSocket leaves HTTP: other upgrades (h2c, by some clients' default) are answered as plain requests.
    Object.assign(app.server, { shouldUpgradeCallback: isUpgradeHere });
    void app.register(webSocketPlugin, {
      options: serverOptions,
      // Too large, too many pieces, not UTF-8: ws is closing it, with the right code.
      errorHandler: () => {},
      preClose(closed) {
        closeAll(app, sessions, closed);
      },
    });
    void app.register((routes, _, registered) => {
      addRoutes(routes, { ...options, sessions, admissions });
      registered();
    });
    const pinging = setInterval(() => {
      for (const session of sessions) session.ping();
    }, options.pingIntervalMs ?? PING_INTERVAL_MS);
    const stopNotices = options.bus.onNotice((notice) => {
      for (const session of sessions) session.notify(notice);
    });
    app.addHook('onClose', async () => {
      clearInterval(pinging);
      stopNotices();
    });
    done();
  };
}

type Routes = WebSocketOptions & { sessions: Set<WebSocketSession>; admissions: WeakMap<IncomingMessage, Admission> };

function addRoutes(app: FastifyInstance, { sessions, admissions, context, log, ...options }: Routes): void {
  app.route({
    method: 'GET',
    url: PATH,
    preValidation: async (request) => {
      if (request.ws) admissions.set(request.raw, await admit(request, { context, log, ...options }));
    },
    handler: (_request, reply) => {
      reply.header('upgrade', 'websocket');
      throw new ServiceError('upgrade_required', 'Connect here with a WebSocket.');
    },
    wsHandler: (socket: WebSocket, request) => {
      const admission = admissions.get(request.raw);
      if (admission === undefined) return socket.close(closeCodes.internalError);
      const onInternalError = (err: unknown): void => log.error({ err }, 'a WebSocket failed');
      const { countCall } = options;
      if ('refusal' in admission) {
        if (admission.refusal.code === 'internal') onInternalError(admission.refusal);
        socket.send(errorText(admission.refusal, request.id));
        return socket.close(closeCodeOf(admission.refusal), admission.refusal.reason);
      }
      // It stays for as long as it is watched over, and is no connection that does nothing.
      request.place?.recognize();
      request.place?.begin();
      const requestId = request.id;
      const session = new WebSocketSession({ socket, context, countCall, onInternalError, requestId, ...admission });
      sessions.add(session);
      socket.on('close', () => sessions.delete(session));
    },
  });

  app.get(`${PATH}/status`, async (request) => {
    const principal = await authenticate(request, { log, ...options });
    const caller = principal.role === 'admin' ? null : principal.userId;
    let connections = 0;
    let bufferedBytes = 0;
    for (const session of sessions) {
      if (caller !== null && session.principal.userId !== caller) continue;
      connections += 1;
      bufferedBytes += session.bufferedBytes;
    }
    const { watchers, lagMs, buffered, dropped } = context.feed.status(caller);
    return { connections, watchers, lag_ms: lagMs, buffered, buffered_bytes: bufferedBytes, dropped };
  });
}

/** Codes of what a caller has asked for wrongly: clients of every kind learn that by a close. */
const CALLERS_MISTAKES: ReadonlySet<ErrorCode> = new Set(['invalid_argument', 'permission_denied']);

/**
 * A stranger's page is refused before the upgrade, and so is a caller without a good token or without a place, as plain HTTP: with a status, and seconds
 * to wait. A page of ours is upgraded and closed instead, because browsers show a page neither status nor body of a refused upgrade, only
 * 1006. By then its token was checked; nothing is held for it but the closing handshake.
 */
async function admit(request: FastifyRequest, options: Omit<WebSocketOptions, 'bus'>): Promise<Admission> {
  checkOrigin(request, options.config.corsOrigins);
  const isPage = request.headers.origin !== undefined;
  let isKnown = false;
  try {
    const principal = await authenticate(request, options);
    isKnown = true;
    return { principal, watcher: await watch(request, principal, options) };
  } catch (thrown) {
    const refusal = toServiceError(thrown);
    if (isPage || (isKnown && CALLERS_MISTAKES.has(refusal.code))) return { refusal };
    throw refusal;
  }
}

function closeCodeOf({ code }: ServiceError): number {
  if (code === 'unauthenticated') return closeCodes.notAuthenticated;
  if (code === 'internal') return closeCodes.internalError;
  return CALLERS_MISTAKES.has(code) ? closeCodes.policyViolation : closeCodes.tryAgainLater;
}

async function watch(
  request: FastifyRequest,
  principal: Principal,
  { context }: Pick<WebSocketOptions, 'context'>,
): Promise<Watcher> {
  // Without a token user_id says who one is; with one, whose deliveries one wants to see of those one may.
  const isBelieved = principal.expiresAtMs === Number.POSITIVE_INFINITY;
  const queryStart = request.url.indexOf('?');
  const parameters = queryStart < 0 ? [] : queryParameters(request.url.slice(queryStart + 1));
  for (const [name, value] of parameters) {
    if (name === 'user_type' && value !== '' && !callerRoles.some((role) => role === value)) {
      throw invalid('field_invalid', name, `must be one of ${callerRoles.join(', ')}`);
    }
  }
  const asked = parameters.filter(([name]) => name !== 'user_type' && !(isBelieved && name === 'user_id'));
  const watcher = await watchDeliveries(context, principal, watchInput(watchRequestOfQuery(asked)));
  // Whatever becomes of the upgrade, the watcher does not outlive its connection.
  request.raw.socket.once('close', () => watcher.close());
  if (request.raw.socket.destroyed) watcher.close();
  return watcher;
}

// Browsers send the origin of the page, and let any page connect anywhere: this is what keeps strangers' pages out.
function checkOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  const { origin, host } = request.headers;
  if (origin === undefined || allowed.includes(origin)) return;
  // With its scheme: a page that came without TLS may come from anywhere.
  if (URL.canParse(origin) && origin === new URL(`${request.isSecure ? 'https' : 'http'}://${host}`).origin) return;
  throw new ServiceError(
    'role_not_allowed',
    'This origin may not connect; CORS_ORIGINS lists those that may, and TRUST_PROXY says that a proxy ends TLS.',
  );
}

async function authenticate(
  request: FastifyRequest,
  { config, verifyToken, countCall, log }: Pick<WebSocketOptions, 'config' | 'verifyToken' | 'countCall' | 'log'>,
): Promise<Principal> {
  const query = queryOf(request);
  const authorization = request.headers.authorization ?? tokenOfProtocols(request.headers['sec-websocket-protocol']);
  if (authorization !== null || query.has('token') || query.has('access_token') || config.environment !== 'development') {
    const principal = await verifyToken(authorization, request.callerAddress);
    if (principal.role === 'developer') await countCall(principal.userId);
    return narrowed(principal, query.get('user_type'));
  }
  const userId = query.get('user_id') ?? '';
  if (userId === '') return verifyToken(null, request.callerAddress);
  requireLocalHost(request.headers.host);
  await countCall(userId);
  log.warn({ user_id: userId }, 'a WebSocket without a token: user_id is believed in development alone');
  const role = callerRoles.find((name) => name === query.get('user_type')) ?? 'developer';
  return { userId, role, expiresAtMs: Number.POSITIVE_INFINITY };
}

function tokenOfProtocols(header: string | undefined): string | null {
  const protocol = header?.split(',').find((name) => name.trim().startsWith(TOKEN_PREFIX));
  return protocol === undefined ? null : `Bearer ${protocol.trim().slice(TOKEN_PREFIX.length)}`;
}

function narrowed(principal: Principal, userType: string | null): Principal {
  const role = callerRoles.find((name) => name === userType);
  return role !== undefined && WIDTHS[role] < WIDTHS[principal.role] ? { ...principal, role } : principal;
}

function queryOf(request: FastifyRequest): URLSearchParams {
  return new URL(request.url, 'http://service').searchParams;
}

function isUpgradeHere(request: IncomingMessage): boolean {
  const path = request.url?.split('?', 1)[0];
  return path === PATH && request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket';
}

function closeAll(app: FastifyInstance, sessions: ReadonlySet<WebSocketSession>, done: () => void): void {
  for (const session of sessions) session.close(closeCodes.goingAway, 'this process is stopping');
  app.websocketServer.close(() => done());
}
