// What every HTTP request says of its caller: the address, and whether the caller's own connection is secure.
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../../config.ts';
import { CallerAddress } from './caller-address.ts';
import { ConnectionPlaces } from './connection-places.ts';
import type { Place } from './connection-places.ts';
import type { ServerLimits } from './server-limits.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The address of the caller, from the connection or from trusted proxies. */
    readonly callerAddress: string;
    /** Whether the caller uses TLS, to us or to a trusted proxy. */
    readonly isSecure: boolean;
    /** Of the connection. */
    readonly place: Place | undefined;
  }
}

export function describeCallers(
  app: FastifyInstance,
  config: Pick<Config, 'trustProxy' | 'tls'>,
  { maxConnections, strangerIdleMs }: Pick<ServerLimits, 'maxConnections' | 'strangerIdleMs'>,
): void {
  const callers = new CallerAddress(config.trustProxy);
  const places = new ConnectionPlaces({ maxConnections, strangerIdleMs, isProxy: (address) => callers.isProxy(address) });
  app.server.on('connection', (socket) => places.add(socket));
  app.server.on('secureConnection', (socket: Socket) => places.carry(socket, socket));
  app.server.on('request', (request, response) => {
    const place = places.of(request.socket);
    if (place === undefined) return;
    place.begin();
    response.once('close', () => place.end());
  });
  app.decorateRequest('place', {
    getter(this: FastifyRequest) {
      return places.of(this.raw.socket);
    },
  });
  const arrival = ({ socket, headers }: FastifyRequest) => ({
    peer: socket.remoteAddress,
    forwardedFor: headers['x-forwarded-for'],
    forwardedProto: headers['x-forwarded-proto'],
  });
  app.decorateRequest('callerAddress', {
    getter(this: FastifyRequest) {
      return callers.of(arrival(this));
    },
  });
  app.decorateRequest('isSecure', {
    getter(this: FastifyRequest) {
      return callers.isSecure(arrival(this)) ?? config.tls !== null;
    },
  });
}
