// Which database errors are about the data, and which about the database.
import { ServiceError } from '../domain/errors.ts';

/** ms. Sent to callers as the time to wait while the database is away. */
const RETRY_AFTER_MS = 2000;

/** SQLSTATE classes 22 (data) and 23 (constraints), and 08P01, PostgreSQL's error for text with a NUL in it. */
export function isDataError(error: unknown): boolean {
  const code = sqlState(error);
  return code !== undefined && (code.startsWith('22') || code.startsWith('23') || code === '08P01');
}

/** The message for callers by SQLSTATE or its class, where the database does answer. */
const SENTENCES: readonly (readonly [code: string, sentence: string])[] = [
  ['53100', 'The database has no room left; nothing was written. Try again in a moment.'],
  ['53', 'The database has no memory or no connection left; nothing was written. Try again in a moment.'],
  ['25006', 'The database takes no writes at present; try again in a moment.'],
];
const NO_ANSWER = 'The database does not answer; try again in a moment.';

/** Any failure of the database to run a statement. */
export function storeUnavailable(cause: unknown): ServiceError {
  const state = sqlState(cause) ?? '';
  const sentence = SENTENCES.find(([code]) => state.startsWith(code))?.[1] ?? NO_ANSWER;
  return new ServiceError('store_unavailable', sentence, {
    retryAfterMs: RETRY_AFTER_MS,
    cause,
  });
}

export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}
