// Development trusts every caller, and a page of any site can call it by a name of its own that it points here (DNS rebinding).
// Tokens are therefore given only under names that no site can point.
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../../domain/errors.ts';

const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;

/**
 * Throws `role_not_allowed` unless the caller is a program on this machine that names it locally. The socket's own address counts: a service that listens
 * everywhere and was left in development must not serve the network.
 */
export function requireThisMachine({ socket, headers }: FastifyRequest): void {
  if (!LOOPBACK.test(socket.remoteAddress ?? '')) {
    throw new ServiceError('role_not_allowed', 'This is for callers on the same machine only; see npm run token.');
  }
  requireLocalHost(headers.host);
}

/** Throws `role_not_allowed` unless the Host header names localhost or an address. */
export function requireLocalHost(host: string | undefined): void {
  if (isLocal(host)) return;
  throw new ServiceError(
    'role_not_allowed',
    'Development trusts callers that name it localhost, or by its address; use a token.',
  );
}

function isLocal(host: string | undefined): boolean {
  const url = `http://${host ?? ''}`;
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname.endsWith('.localhost') || isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0;
}
