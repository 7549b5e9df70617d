// GET /livez, /readyz and /health: for orchestrators, load balancers and people.
import type { FastifyInstance } from 'fastify';
import type { HealthView } from '../../maintenance/health.ts';
import type { VerifyToken } from '../call/interceptors/authenticate.ts';

export interface HealthRouteOptions {
  readonly health: HealthView;
  readonly version: string;
  readonly verifyToken: VerifyToken;
}

export function healthRoutes(
  app: FastifyInstance,
  { health, version, verifyToken }: HealthRouteOptions,
  done: () => void,
): void {
  // A process that answers is worth keeping.
  app.get('/livez', () => ({ status: 'ok' }));

  app.get('/readyz', (_request, reply) => {
    const { ready, checks, problems } = health.report();
    const found = Object.keys(problems).length > 0 ? { problems } : {};
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', ...checks, ...found });
  });

  app.get('/health', async (request, reply) => {
    const { ready, checks, problems } = health.report();
    const status = !ready ? 'down' : Object.values(checks).every((check) => check === 'ok') ? 'ok' : 'degraded';
    const answer: Record<string, unknown> = {
      status,
      service: 'homechef-webhooks',
      version,
      timestamp: new Date().toISOString(),
    };
    // Only operators learn what stands behind the service.
    const { authorization } = request.headers;
    const isAdmin =
      authorization !== undefined &&
      (await verifyToken(authorization, request.callerAddress).catch(() => null))?.role === 'admin';
    if (isAdmin) Object.assign(answer, { checks, problems, dependencies: health.dependencies() });
    return reply.code(ready ? 200 : 503).send(answer);
  });
  done();
}
