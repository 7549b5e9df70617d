// The session of a browser: a token in a cookie that no script reads, and that counts only beside a header that no other site can send.
import type { FastifyRequest } from 'fastify';

const NAME = 'homechef-session';
/** Over TLS. Browsers take a cookie of this name from the very host alone, and for all of its paths. */
const SECURE_NAME = `__Host-${NAME}`;
/** The console sends it with every request. A page of another origin may not: CORS_ORIGINS lets no such header through. */
const CONSOLE_HEADER = 'x-homechef-console';
/** Browsers drop a cookie of more than 4,096 bytes, its name and attributes among them. */
export const MAX_SESSION_TOKEN_CHARACTERS = 3800;

/** Whether the console's own page sent this. A browser names the site that a request came from, and scripts cannot change that. */
export function isFromConsole({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  return headers[CONSOLE_HEADER] === '1' && (site === undefined || site === 'same-origin');
}

/** Lets the session speak for a request of the console that has no Authorization header. Elsewhere the cookie says nothing. */
export function authorizeBySession(request: FastifyRequest): void {
  const { headers } = request.raw;
  if (headers.cookie === undefined || headers.authorization !== undefined || !isFromConsole(request)) return;
  const token = cookieIn(headers.cookie, nameFor(request));
  if (token !== null) headers.authorization = `Bearer ${token}`;
}

/** The Set-Cookie header of a session that ends with its token. */
export function sessionCookie(request: FastifyRequest, token: string, expiresAtMs: number): string {
  return cookie(request, token, Math.max(0, Math.floor((expiresAtMs - Date.now()) / 1000)));
}

/** The Set-Cookie header that ends the session. */
export function noSessionCookie(request: FastifyRequest): string {
  return cookie(request, '', 0);
}

function cookie(request: FastifyRequest, value: string, maxAgeSeconds: number): string {
  const attributes = `Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict`;
  return `${nameFor(request)}=${value}; ${attributes}${request.isSecure ? '; Secure' : ''}`;
}

function nameFor({ isSecure }: FastifyRequest): string {
  return isSecure ? SECURE_NAME : NAME;
}

function cookieIn(header: string, name: string): string | null {
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at !== -1 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim() || null;
  }
  return null;
}
