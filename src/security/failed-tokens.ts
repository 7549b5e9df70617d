// A caller that keeps sending forged tokens is answered late. A good token is never refused, nor delayed, for what others at its address did.
import { BoundedMap } from '../bounded-map.ts';
import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { pause } from '../lifecycle/pause.ts';
import { ForgedToken, type Principal, type TokenVerifier } from './tokens.ts';

const WINDOW_MS = 60_000;
/** So many forged tokens of an address in a minute are answered at once: many callers may share an address, and keys are changed. */
export const MAX_FAILURES = 600;
/** Addresses remembered at once; the oldest goes first. */
const MAX_ADDRESSES = 10_000;
/** How long an answer is held back. A loop that waits for its answers comes once a second by then. */
const LATE_MS = 1000;
/** Answers held back at once, of one address and in all. More are answered at once: holding them would cost more than they do. */
const MAX_LATE_PER_ADDRESS = 64;
const MAX_LATE = 1024;

interface Failures {
  count: number;
  readonly endsAtMs: number;
  late: number;
}

/**
 * Verifies tokens for callers at an address. Every token is verified: one that an HMAC refuses costs some 10 µs, a tenth of the request
 * that brought it, and one with a public key's signature about as much as that request. Kept in this process alone, so that it holds
 * whatever store is away.
 */
export class GuardedTokens {
  readonly #tokens: TokenVerifier;
  readonly #lateMs: number;
  readonly #failures = new BoundedMap<string, Failures>(MAX_ADDRESSES);
  #late = 0;

  /** `lateMs` is for tests. */
  constructor(tokens: TokenVerifier, { lateMs = LATE_MS } = {}) {
    this.#tokens = tokens;
    this.#lateMs = lateMs;
  }

  /** Takes an Authorization header as it came. Throws `token_missing`, `token_invalid` (late, perhaps) or `keys_unavailable`. */
  async verify(authorization: string | null, address: string): Promise<Principal> {
    const known = this.#tokens.recall(authorization);
    if (known !== null) return known;
    try {
      return await this.#tokens.verify(authorization);
    } catch (error) {
      if (error instanceof ForgedToken) await this.#delay(this.#count(address));
      throw error;
    }
  }

  async #delay(failures: Failures): Promise<void> {
    if (failures.count <= MAX_FAILURES || failures.late >= MAX_LATE_PER_ADDRESS || this.#late >= MAX_LATE) return;
    failures.late += 1;
    this.#late += 1;
    await pause(this.#lateMs);
    failures.late -= 1;
    this.#late -= 1;
  }

  #count(address: string): Failures {
    const network = networkOf(address);
    const known = this.#failures.get(network);
    const nowMs = Date.now();
    if (known !== undefined && known.endsAtMs > nowMs) {
      known.count += 1;
      return known;
    }
    const failures = { count: 1, endsAtMs: nowMs + WINDOW_MS, late: 0 };
    this.#failures.set(network, failures);
    return failures;
  }
}

// A caller with one address of IPv6 has the 2^64 around it.
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.parts.slice(0, 4).join(':');
}
