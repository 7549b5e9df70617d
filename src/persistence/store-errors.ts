// Which database errors are about the data, and which about the database.
import { ServiceError } from '../domain/errors.ts';

/** ms. Sent to callers as the time to wait while the database is away. */
const RETRY_AFTER_MS = 2000;

/** SQLSTATE classes 22 (data) and 23 (constraints), and 08P01, PostgreSQL's error for text with a NUL in it. */
export function isDataError(error: unknown): boolean {
  const code = sqlState(error);
  return code !== undefined && (code.startsWith('22') || code.startsWith('23') || code === '08P01');
}

/** Any failure of the database to run a statement. */
export function storeUnavailable(cause: unknown): ServiceError {
  return new ServiceError('store_unavailable', 'The database does not answer; try again in a moment.', {
    retryAfterMs: RETRY_AFTER_MS,
    cause,
  });
}

export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}
