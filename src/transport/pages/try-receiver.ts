// POST /try, in development: a receiver of our own, so that a first webhook needs no server and no public URL. It takes everything and keeps nothing.
import type { FastifyPluginCallback } from 'fastify';
import type { Config } from '../../config.ts';
import { requireThisMachine } from '../listener/local-host.ts';

const TRY_PATH = '/try';

export function tryReceiver({ environment }: Pick<Config, 'environment'>): FastifyPluginCallback {
  return (app, _options, done) => {
    if (environment !== 'development') return done();
    app.removeAllContentTypeParsers();
    // The body is left to the socket: what arrived stands in the delivery.
    app.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null));
    app.post(TRY_PATH, (request, reply) => {
      requireThisMachine(request);
      request.raw.resume();
      return reply.send({ received: request.headers['x-homechef-event'] ?? 'something without X-HomeChef-Event' });
    });
    done();
  };
}
