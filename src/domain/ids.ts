// Ids: a kind, an underscore and 26 characters that sort by time (a ULID in lower-case Crockford base 32).
import { createHash, randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const TIME_CHARACTERS = 10;
const RANDOM_CHARACTERS = 16;

export type IdKind = 'webhook' | 'event' | 'delivery' | 'release' | 'replay' | 'key';

const SHAPES: Record<IdKind, RegExp> = {
  webhook: /^webhook_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
  event: /^event_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
  delivery: /^delivery_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
  release: /^release_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
  replay: /^replay_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
  key: /^key_[0-7][0-9a-hjkmnp-tv-z]{25}$/,
};

/** A new id, unique without coordination: 48 bits of `nowMs` and 80 random bits. */
export function newId(kind: IdKind, nowMs: number): string {
  return `${kind}_${encodeTime(nowMs)}${randomCharacters()}`;
}

export function isId(kind: IdKind, text: string): boolean {
  return SHAPES[kind].test(text);
}

/** The moment an id was made, in milliseconds since 1970. */
export function timeOfId(id: string): number {
  const start = id.indexOf('_') + 1;
  let ms = 0;
  for (let i = start; i < start + TIME_CHARACTERS; i += 1) ms = ms * 32 + ALPHABET.indexOf(id[i] ?? '0');
  return ms;
}

/** The smallest id of a kind that can be made at `ms`: the bound of a time range over ids. */
export function idFloor(kind: IdKind, ms: number): string {
  return `${kind}_${encodeTime(ms)}${'0'.repeat(RANDOM_CHARACTERS)}`;
}

/** The id of the delivery of an event to a webhook: the time of the event, and a hash of both. PostgreSQL makes the same (persistence/matching.ts). */
export function deliveryIdOf(eventId: string, webhookId: string): string {
  const start = eventId.indexOf('_') + 1;
  const hash = createHash('sha256')
    .update(eventId + webhookId)
    .digest('hex');
  return `delivery_${eventId.slice(start, start + TIME_CHARACTERS)}${hash.slice(0, RANDOM_CHARACTERS)}`;
}

let encodedMs = -1;
let encodedText = '';

// Thousands of ids share a millisecond under load, so the last encoding is kept.
function encodeTime(ms: number): string {
  if (ms === encodedMs) return encodedText;
  let rest = ms;
  let text = '';
  for (let i = 0; i < TIME_CHARACTERS; i += 1) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  encodedMs = ms;
  encodedText = text;
  return text;
}

// Random bytes are drawn a page at a time: one system call for 256 ids instead of one each.
const pool = new Uint8Array(RANDOM_CHARACTERS * 256);
let poolOffset = pool.length;

function randomCharacters(): string {
  if (poolOffset === pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  let text = '';
  for (let i = 0; i < RANDOM_CHARACTERS; i += 1) text += ALPHABET.charAt((pool[poolOffset + i] ?? 0) & 31);
  poolOffset += RANDOM_CHARACTERS;
  return text;
}
