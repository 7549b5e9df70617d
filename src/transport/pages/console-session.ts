// POST /console/session signs a browser in, DELETE signs it out: the token is kept in a cookie that no script reads.
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import { invalid, ServiceError } from '../../domain/errors.ts';
import { parseJson } from '../body/json-body.ts';
import type { VerifyToken } from '../call/interceptors/authenticate.ts';
import { isFromConsole, MAX_SESSION_TOKEN_CHARACTERS, noSessionCookie, sessionCookie } from '../listener/session-cookie.ts';

const PATH = '/console/session';
/** The longest token that is verified at all, and the JSON around it. */
const MAX_BODY_BYTES = 16_384;

export function consoleSession(verifyToken: VerifyToken): FastifyPluginCallback {
  return (app, _options, done) => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/json', { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES }, (_request, body, parsed) =>
      parsed(null, body),
    );
    app.post(PATH, async (request, reply) => {
      requireConsole(request);
      const token = tokenIn(request.body);
      const { userId, role, expiresAtMs } = await verifyToken(`Bearer ${token}`, request.callerAddress);
      if (token.length > MAX_SESSION_TOKEN_CHARACTERS) throw tooLong();
      reply.header('set-cookie', sessionCookie(request, token, expiresAtMs));
      return { user_id: userId, role, expires_at: new Date(expiresAtMs).toISOString() };
    });
    app.delete(PATH, (request, reply) => {
      requireConsole(request);
      return reply.header('set-cookie', noSessionCookie(request)).code(204).send();
    });
    done();
  };
}

// Another site must neither end a session nor put a reader into one that it knows.
function requireConsole(request: FastifyRequest): void {
  if (!isFromConsole(request)) {
    throw new ServiceError(
      'role_not_allowed',
      'Only the console itself signs in and out; send a token in the Authorization header.',
    );
  }
}

function tokenIn(body: unknown): string {
  const { value } = parseJson(body instanceof Uint8Array ? body : new Uint8Array());
  const token: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'token') : undefined;
  if (typeof token !== 'string' || token === '') throw invalid('field_invalid', 'token', 'must be a token');
  return token;
}

function tooLong(): ServiceError {
  return invalid(
    'field_invalid',
    'token',
    `must have ${MAX_SESSION_TOKEN_CHARACTERS} characters at most to be kept by a browser`,
  );
}
