// How often a user may have a receiver looked at, and how many of these looks may be under way.
import { ServiceError } from '../domain/errors.ts';
import type { RateLimit } from '../security/rate-limit.ts';

/** Of a process: each opens up to eight sockets at once, so all of them take a tenth of those that deliveries have by default. */
const MAX_DIAGNOSES = 8;
/** How long a caller is asked to wait while others are under way, in milliseconds: most end sooner. */
const RETRY_AFTER_MS = 5000;

export class DiagnosisBudget {
  readonly #rate: RateLimit;
  readonly #subjects = new Set<string>();

  /** @param rate how many a user may have in a minute, over all processes */
  constructor(rate: RateLimit) {
    this.#rate = rate;
  }

  /** Takes a place and resolves to how to give it back. Rejects with `diagnose_limit_reached`. */
  async take(userId: string, subject: string): Promise<() => void> {
    if (this.#subjects.has(subject)) throw refused('A diagnosis of this is under way; wait for it to end.', RETRY_AFTER_MS);
    if (this.#subjects.size >= MAX_DIAGNOSES) {
      throw refused(`${MAX_DIAGNOSES} diagnoses are under way in this process; wait for one of them to end.`, RETRY_AFTER_MS);
    }
    this.#subjects.add(subject);
    try {
      await this.#rate.consume(userId);
    } catch (error) {
      this.#subjects.delete(subject);
      const waitMs = error instanceof ServiceError ? (error.retryAfterMs ?? RETRY_AFTER_MS) : RETRY_AFTER_MS;
      throw refused(`Too many diagnoses in a minute; try again in ${Math.ceil(waitMs / 1000)} s.`, waitMs);
    }
    return () => this.#subjects.delete(subject);
  }
}

function refused(message: string, retryAfterMs: number): ServiceError {
  return new ServiceError('diagnose_limit_reached', message, { retryAfterMs });
}
