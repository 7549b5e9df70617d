// What of the headers of a request and its response is kept for the owner of a webhook: bounded, and without what may be a credential.
import { MASKED_VALUE } from './custom-headers.ts';

/** Header lines kept of one side: a request has 11 of ours, a response seldom more than 20. */
export const MAX_HEADERS_KEPT = 64;
/**
 * Characters kept of one side, all of them ASCII. With both sides of 50 attempts, their responses and the payload a delivery stays under
 * 4 MiB.
 */
export const MAX_SIDE_CHARACTERS = 4096;
/** Characters kept of one value. Longer ones are cookies and policies, whose end explains nothing. */
export const MAX_VALUE_CHARACTERS = 512;
const CUT = '...';

/**
 * What a request says that holds no secret. All else is masked: signatures, and custom headers, whose values are secret once they are
 * stored.
 */
const OPEN_IN_REQUESTS = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'user-agent',
  'traceparent',
  'webhook-id',
  'webhook-timestamp',
  'x-homechef-event',
  'x-homechef-delivery',
  'x-homechef-attempt',
  'x-homechef-schema-version',
  'x-homechef-ordering-key',
  'x-homechef-sequence',
]);

/** A name that has one of these words in it is that of a credential, also as a part of a word: `set-cookie`, `x-csrf-token`, `apikey`. */
const SECRET_NAME =
  /auth(?!ority)|cookie|token|secret|passw|passphrase|credential|session|signature|jwt|api-?key|access-?key|private-?key|-key$|^key$/i;
/** A challenge names what the receiver asks for, and no credential. */
const CHALLENGES = new Set(['www-authenticate', 'proxy-authenticate']);
/** A value that is a credential whatever its header is called: a scheme with what it takes, a JSON Web Token, or a key with a known beginning. */
const SECRET_VALUE =
  /^(?:basic|bearer|digest|negotiate)\s+\S|\beyJ[\w-]{8,}\.[\w-]+|\b(?:sk|pk|rk|whsec|whpk|ghp|xox[a-z])[-_]\w{8,}/i;
/** Names whose value is an address: its path explains a redirect, its query may hold a credential. */
const WITH_ADDRESS = new Set(['location', 'content-location', 'refresh', 'link']);

/** The headers of a request as they are kept, a `name: value` a line. @param head what was sent up to the body, request line included */
export function shownRequestHeaders(head: string): string {
  return shown(head, (name, value) => (OPEN_IN_REQUESTS.has(name) ? value : MASKED_VALUE));
}

/** The same of a response. @param head as it came, status line included */
export function shownResponseHeaders(head: string): string {
  return shown(head, (name, value) => {
    if (CHALLENGES.has(name)) return value;
    if (SECRET_NAME.test(name) || SECRET_VALUE.test(value)) return MASKED_VALUE;
    return WITH_ADDRESS.has(name) ? withoutSecrets(value) : value;
  });
}

function shown(head: string, valueOf: (name: string, value: string) => string): string {
  const lines: string[] = [];
  let left = MAX_SIDE_CHARACTERS;
  for (const line of head.split('\n').slice(1)) {
    const colon = line.indexOf(':');
    // The empty line at the end, what is no header, and the rest of the header before, which may be a credential: an oddity names both.
    if (colon <= 0 || line.startsWith(' ') || line.startsWith('\t')) continue;
    const name = ascii(line.slice(0, colon).trim());
    const value = valueOf(name.toLowerCase(), ascii(line.slice(colon + 1).trim()));
    const kept = `${name}: ${value.length > MAX_VALUE_CHARACTERS ? value.slice(0, MAX_VALUE_CHARACTERS - CUT.length) + CUT : value}`;
    left -= kept.length + 1;
    if (left < 0 || lines.length === MAX_HEADERS_KEPT) break;
    lines.push(kept);
  }
  return lines.join('\n');
}

/** One byte a character, and nothing that a terminal, or PostgreSQL, would not take. */
function ascii(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}

function withoutSecrets(address: string): string {
  return address.replaceAll(/\/\/[^/?#@\s]*@/g, `//${MASKED_VALUE}@`).replaceAll(/\?[^#>\s]*/g, `?${MASKED_VALUE}`);
}
