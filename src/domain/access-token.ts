// What a token server answers to a client (RFC 6749, 5.1 and 5.2): an access token, or why there is none.
import { DAY_MS } from './time-units.ts';

/** Characters. Receivers read 8 to 16 KiB of headers in all, so a longer token gets nowhere. */
export const MAX_TOKEN_CHARACTERS = 8192;
/** ms. Of a token whose server does not say how long it lives: short, since one that has ended fails an attempt. */
const DEFAULT_LIFETIME_MS = 300_000;
/** ms. Longer lifetimes count as this: a token is asked for anew once a day at least. */
const MAX_LIFETIME_MS = DAY_MS;
/** Characters of each text that a token server gave for its refusal. */
const MAX_REASON_CHARACTERS = 200;
/** What may stand behind `Bearer` (RFC 6750, 2.1). */
const BEARER = /^[\w\-.~+/]+=*$/;
/** What `error` and `error_description` may hold (RFC 6749, 5.2), quotation marks aside. */
const NOT_SHOWN = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

export interface AccessToken {
  readonly token: string;
  readonly lifetimeMs: number;
}

/** The token in a successful answer; null: it has none that a request could carry. */
export function accessTokenIn(text: string): AccessToken | null {
  const answer = objectIn(text);
  const { access_token: token, token_type: type, expires_in: seconds } = answer;
  if (typeof token !== 'string' || token.length > MAX_TOKEN_CHARACTERS || !BEARER.test(token)) return null;
  if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer')) return null;
  return { token, lifetimeMs: lifetimeOf(seconds) };
}

/** What a token server gave as the reason of a refusal; empty: nothing. A description that repeats the secret is left out. */
export function refusalIn(text: string, secret: string): string {
  const { error, error_description: description } = objectIn(text);
  const reasons = [error, description].filter(
    (reason) => typeof reason === 'string' && reason !== '' && !reason.includes(secret),
  );
  return reasons.map((reason) => String(reason).slice(0, MAX_REASON_CHARACTERS).replaceAll(NOT_SHOWN, '?')).join(': ');
}

// Some servers write the number as a string.
function lifetimeOf(seconds: unknown): number {
  const given = typeof seconds === 'string' && seconds !== '' ? Number(seconds) : seconds;
  if (typeof given !== 'number' || !Number.isFinite(given)) return DEFAULT_LIFETIME_MS;
  return Math.min(Math.max(given, 0) * 1000, MAX_LIFETIME_MS);
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
