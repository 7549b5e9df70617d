// How many test sends may be under way at once. Each takes a socket for up to 25 s, outside the places of the dispatcher.
import { ServiceError } from '../domain/errors.ts';

/** Of one webhook: one that hangs, and one more to see whether it still does. */
export const MAX_TESTS_OF_WEBHOOK = 2;
/** Of one user: four webhooks that hang. */
export const MAX_TESTS_OF_USER = 8;
/** Of a process: an eighth of the sockets that deliveries have by default, so that tests alone never use up the pool. */
export const MAX_TESTS = 64;
/** ms. Sent to refused callers as the time to wait: most receivers respond within it. */
const RETRY_AFTER_MS = 1000;

export class TestBudget {
  readonly #ofWebhook = new Map<string, number>();
  readonly #ofUser = new Map<string, number>();
  #total = 0;

  /** Takes a place and returns how to give it back. Throws `test_limit_reached`. The user is the webhook's owner, for every caller. */
  take(webhookId: string, userId: string): () => void {
    if (countOf(this.#ofWebhook, webhookId) >= MAX_TESTS_OF_WEBHOOK) throw refused('this webhook', MAX_TESTS_OF_WEBHOOK);
    if (countOf(this.#ofUser, userId) >= MAX_TESTS_OF_USER) throw refused('the webhooks of this user', MAX_TESTS_OF_USER);
    if (this.#total >= MAX_TESTS) throw refused('this process', MAX_TESTS);
    this.#count(webhookId, userId, 1);
    return () => this.#count(webhookId, userId, -1);
  }

  #count(webhookId: string, userId: string, by: 1 | -1): void {
    this.#total += by;
    add(this.#ofWebhook, webhookId, by);
    add(this.#ofUser, userId, by);
  }
}

function countOf(counts: ReadonlyMap<string, number>, key: string): number {
  return counts.get(key) ?? 0;
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = countOf(counts, key) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

function refused(whose: string, limit: number): ServiceError {
  const message = `${limit} test sends of ${whose} are under way; wait for one of them to end.`;
  return new ServiceError('test_limit_reached', message, { retryAfterMs: RETRY_AFTER_MS });
}
