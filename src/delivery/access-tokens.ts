// The access tokens of webhooks with OAuth: asked for once, shared by their deliveries, and renewed before they end.
import { BoundedMap } from '../bounded-map.ts';
import { hasBegun, type NotBegun, type Outcome } from '../domain/delivery.ts';
import type { AskForToken, TokenAnswer, TokenRequest } from './token-request.ts';

/** Webhooks whose tokens are kept: 40 MB where each has the longest token, 5 MB with common ones. */
const MAX_TOKENS = 5000;
/** Of its life. A token that is older is renewed beside the deliveries that still use it. */
const RENEW_AFTER = 0.8;
/** Of its life. A token that is older is not used: it could end under way, and clocks differ. */
const USABLE_FOR = 0.95;
/** ms. For so long a failure answers all who want a token: a token server that fails is asked once a second for each webhook. */
const FAILURE_MS = 1000;
/** ms. A receiver that answers 401 to every token makes the service ask for another so often, and not once for each delivery. */
const DROP_INTERVAL_MS = 60_000;

/** A token, or what the attempt that wanted it comes to. */
export type TokenOrOutcome = string | Outcome | NotBegun;

export interface TokenHolder extends TokenRequest {
  readonly webhookId: string;
}

/** Times are on `performance.now()`. */
interface Entry {
  /** Of the settings that the token was got with. */
  readonly clientId: string;
  token: string | null;
  renewAt: number;
  endsAt: number;
  failure: Outcome | null;
  failedAt: number;
  droppedAt: number;
  /** The request under way, which all who want a token meanwhile wait for. */
  asking: Promise<TokenAnswer> | null;
}

export class AccessTokens {
  readonly #ask: AskForToken;
  readonly #entries = new BoundedMap<string, Entry>(MAX_TOKENS);

  constructor(ask: AskForToken) {
    this.#ask = ask;
  }

  /** The token of a webhook. Never rejects. */
  async get(holder: TokenHolder): Promise<TokenOrOutcome> {
    const entry = this.#entryOf(holder);
    const now = performance.now();
    const hasFailed = entry.failure !== null && now - entry.failedAt < FAILURE_MS;
    if (entry.token !== null && now < entry.endsAt) {
      if (now >= entry.renewAt && !hasFailed) void this.#renew(entry, holder);
      return entry.token;
    }
    if (entry.failure !== null && hasFailed) return again(entry.failure);
    const answer = await this.#renew(entry, holder);
    return 'token' in answer ? answer.token : answer;
  }

  /** Asks for a token whether there is one or not, which deliveries then use. Never rejects. */
  renew(holder: TokenHolder): Promise<TokenAnswer> {
    return this.#renew(this.#entryOf(holder), holder);
  }

  /** To be called when the receiver has answered 401 to a request with this token: it may have been revoked. */
  drop(webhookId: string, token: string): void {
    const entry = this.#entries.get(webhookId);
    // One that came in its place meanwhile stays.
    if (entry?.token !== token) return;
    const now = performance.now();
    if (now - entry.droppedAt < DROP_INTERVAL_MS) return;
    entry.droppedAt = now;
    entry.token = null;
  }

  #entryOf({ webhookId, oauth }: TokenHolder): Entry {
    const found = this.#entries.get(webhookId);
    if (found !== undefined && found.clientId === oauth.id) return found;
    const never = Number.NEGATIVE_INFINITY;
    const entry: Entry = {
      clientId: oauth.id,
      token: null,
      renewAt: never,
      endsAt: never,
      failure: null,
      failedAt: never,
      droppedAt: never,
      asking: null,
    };
    this.#entries.set(webhookId, entry);
    return entry;
  }

  #renew(entry: Entry, holder: TokenHolder): Promise<TokenAnswer> {
    return (entry.asking ??= this.#askFor(entry, holder).finally(() => (entry.asking = null)));
  }

  async #askFor(entry: Entry, holder: TokenHolder): Promise<TokenAnswer> {
    // Before the request: the life of the token began when the server made it, which this process does not see.
    const askedAt = performance.now();
    const answer = await this.#ask(holder);
    if ('token' in answer) {
      entry.token = answer.token;
      entry.renewAt = askedAt + RENEW_AFTER * answer.lifetimeMs;
      entry.endsAt = askedAt + USABLE_FOR * answer.lifetimeMs;
      entry.failure = null;
    } else if (hasBegun(answer)) {
      entry.failure = answer;
      entry.failedAt = performance.now();
    }
    return answer;
  }
}

// Nothing was sent for this attempt, so it took no time.
function again(failure: Outcome): Outcome {
  return { ...failure, startedAtMs: failure.startedAtMs + failure.durationMs, durationMs: 0 };
}
