// What every HTTP request says of its caller: the address, and whether the caller's own connection is secure.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../config.ts';
import { CallerAddress } from './caller-address.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of who called, as the connection or trusted proxies tell it. */
    readonly callerAddress: string;
    /** Whether the caller uses TLS, to us or to a trusted proxy. */
    readonly isSecure: boolean;
  }
}

export function describeCallers(app: FastifyInstance, config: Pick<Config, 'trustProxy' | 'tls'>): void {
  const callers = new CallerAddress(config.trustProxy);
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
