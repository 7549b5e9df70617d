// Methods that a path does not take: 405 with those that it takes, whatever of HTTP's methods it is. Elsewhere they find nothing, as any other.
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../../domain/errors.ts';

/** What routes here take, or may take one day. */
const ROUTED = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** Stands for the thirty others: a route for each of them at each path took a sixth of a start. */
const ANY_OTHER = 'TRACE';

/** To be called before a request is routed. */
export function routeOthersAlike(request: IncomingMessage): void {
  if (!ROUTED.has(request.method ?? '')) request.method = ANY_OTHER;
}

/** To be called before there are routes; the function that it returns, when they are all there. */
export function knowPaths(app: FastifyInstance): () => void {
  const taken = new Map<string, Set<string>>();
  // Without a body: a caller that sends one learns first that nothing here takes it.
  app.addHttpMethod(ANY_OTHER, { hasBody: false, overrideExisting: true });
  app.addHook('onRoute', ({ url, method }) => {
    const methods = taken.get(url) ?? new Set();
    for (const name of [method].flat()) methods.add(name);
    taken.set(url, methods);
  });
  return () => {
    void app.register((routes, _options, done) => {
      // Routes are distinguished by their shape, so a static path must say itself what it lacks: else `PUT /webhooks/events` would fall
      // through to `PUT /webhooks/{webhook_id}`.
      for (const [url, methods] of taken) refuseOthers(routes, url, [...methods]);
      done();
    });
  };
}

function refuseOthers(app: FastifyInstance, url: string, methods: readonly string[]): void {
  const allowed = [...methods.filter((method) => method !== 'HEAD'), ...methods.filter((method) => method === 'HEAD')].join(
    ', ',
  );
  app.route({
    method: app.supportedMethods.filter((method) => !methods.includes(method)),
    url,
    exposeHeadRoute: false,
    onRequest: async (_request, reply) => {
      reply.header('allow', allowed);
      throw new ServiceError('method_not_allowed', `This path takes ${allowed}.`);
    },
    handler: () => {},
  });
}
