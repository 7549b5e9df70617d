// Who keeps coming with tokens that are refused: after so many in a minute an address is not listened to until the minute is over.
import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { ServiceError } from '../domain/errors.ts';
import type { Principal, TokenVerifier } from './tokens.ts';

const WINDOW_MS = 60_000;
/** No token can be guessed at ten a second; verifying them costs a thousandth of a core. Many callers may share an address. */
export const MAX_FAILURES = 600;
/** Addresses remembered at once; the oldest goes first. An attacker with more of them gains ten guesses a second for each. */
const MAX_ADDRESSES = 10_000;

/**
 * Verifies tokens for callers at an address. Kept in this process alone, so that it holds whatever store is away. Callers whose token
 * was verified a moment ago are let through: those who share an attacker's address (a proxy that is not trusted) go on working.
 */
export class GuardedTokens {
  readonly #tokens: TokenVerifier;
  readonly #failures = new Map<string, { count: number; readonly endsAtMs: number }>();

  constructor(tokens: TokenVerifier) {
    this.#tokens = tokens;
  }

  /** Takes an Authorization header as it came. Throws `token_missing`, `token_invalid` or `rate_limited`. */
  async verify(authorization: string | null, address: string): Promise<Principal> {
    const known = this.#tokens.recall(authorization);
    if (known !== null) return known;
    if (this.#failures.size > 0) this.#refuseBarred(address);
    try {
      return await this.#tokens.verify(authorization);
    } catch (error) {
      if (error instanceof ServiceError && error.reason === 'token_invalid') this.#count(address);
      throw error;
    }
  }

  #refuseBarred(address: string): void {
    const failures = this.#failures.get(networkOf(address));
    const waitMs = (failures?.endsAtMs ?? 0) - Date.now();
    if (failures === undefined || failures.count < MAX_FAILURES || waitMs <= 0) return;
    const message = `Too many refused tokens from this address; try again in ${Math.ceil(waitMs / 1000)} s.`;
    throw new ServiceError('resource_exhausted', 'rate_limited', message, { retryAfterMs: waitMs });
  }

  #count(address: string): void {
    const network = networkOf(address);
    const known = this.#failures.get(network);
    const nowMs = Date.now();
    if (known !== undefined && known.endsAtMs > nowMs) {
      known.count += 1;
      return;
    }
    this.#failures.delete(network);
    if (this.#failures.size >= MAX_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value ?? '');
    this.#failures.set(network, { count: 1, endsAtMs: nowMs + WINDOW_MS });
  }
}

// Whoever has one address of IPv6 has the 2^64 around it.
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.parts.slice(0, 4).join(':');
}
