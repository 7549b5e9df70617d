// The headers for browsers on every reply: which origins may call, and what a page served from here may do.
import type { FastifyInstance } from 'fastify';

/** How long a browser may remember a preflight: the longest Chromium honours. */
const PREFLIGHT_SECONDS = 7200;
const METHODS = 'GET, POST, PUT, PATCH, DELETE';
/** What callers may send, Connect's and gRPC-Web's own headers among them. */
const REQUEST_HEADERS =
  'Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-Id, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent, Traceparent';
const RESPONSE_HEADERS =
  'X-Request-Id, ETag, Location, RateLimit, RateLimit-Policy, Retry-After, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin';

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

export function browserSafety(
  app: FastifyInstance,
  options: { readonly origins: readonly string[]; readonly tls: boolean },
): void {
  const origins = new Set(options.origins);

  app.addHook('onRequest', async (request, reply) => {
    // Pages that need more set their own headers, which then win.
    reply.headers(SECURITY_HEADERS);
    if (options.tls) reply.header('strict-transport-security', 'max-age=31536000');
    const { origin } = request.headers;
    if (origins.size > 0) reply.header('vary', 'Origin');
    if (origin === undefined || !origins.has(origin)) return undefined;
    reply.header('access-control-allow-origin', origin);
    reply.header('cross-origin-resource-policy', 'cross-origin');
    reply.header('access-control-expose-headers', RESPONSE_HEADERS);
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return undefined;
    reply.header('access-control-allow-methods', METHODS);
    reply.header('access-control-allow-headers', REQUEST_HEADERS);
    reply.header('access-control-max-age', String(PREFLIGHT_SECONDS));
    return reply.code(204).send();
  });
}
