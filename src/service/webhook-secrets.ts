// What a webhook keeps sealed: its signing secret and the values of its custom headers.
import { checkCustomHeaders, MASKED_VALUE } from '../security/custom-headers.ts';
import type { Owner, SecretBox } from '../security/secret-box.ts';
import { newSecret } from '../security/signature.ts';

const HINT_CHARACTERS = 4;

export interface NewSecret {
  /** The plain text, for the answer. */
  readonly secret: string;
  readonly sealed: string;
  readonly hint: string;
}

export function makeSecret(box: SecretBox, owner: Owner): NewSecret {
  const secret = newSecret();
  return { secret, sealed: box.seal('signing_secret', owner, secret), hint: secret.slice(-HINT_CHARACTERS) };
}

/** What may be shown of a stored secret. */
export function secretHint(box: SecretBox, owner: Owner, sealed: string): string {
  return box.open('signing_secret', owner, sealed).slice(-HINT_CHARACTERS);
}

export interface StoredHeaders {
  readonly customHeaders: string | null;
  readonly customHeaderNames: string[];
}

/** Checks and seals headers. A value that reads as masked stands for the one already stored under that name. */
export function sealHeaders(
  box: SecretBox,
  owner: Owner,
  headers: Readonly<Record<string, string>>,
  options: { readonly signatureHeader: string; readonly stored?: string | null | undefined },
): StoredHeaders {
  const unmasked = Object.values(headers).includes(MASKED_VALUE)
    ? unmask(box, owner, headers, options.stored ?? null)
    : headers;
  checkCustomHeaders(unmasked, options.signatureHeader);
  const names = Object.keys(unmasked);
  if (names.length === 0) return { customHeaders: null, customHeaderNames: [] };
  return { customHeaders: box.seal('custom_headers', owner, JSON.stringify(unmasked)), customHeaderNames: names };
}

function unmask(
  box: SecretBox,
  owner: Owner,
  headers: Readonly<Record<string, string>>,
  stored: string | null,
): Record<string, string> {
  const kept = stored === null ? {} : (JSON.parse(box.open('custom_headers', owner, stored)) as Record<string, string>);
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value === MASKED_VALUE ? (kept[name] ?? value) : value]),
  );
}
