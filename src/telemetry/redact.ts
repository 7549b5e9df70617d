// What may not stand in a log line, and how it is taken out: by the name of the field, and by the look of the text.

export const REDACTED = '[redacted]';

/**
 * Names whose values are never logged, wherever they stand: credentials, what signs, what customers send.
 * Compared in lower case without `-` and `_`, so that `X-Api-Key`, `x_api_key` and `xApiKey` are one name.
 */
const SECRET_NAMES = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'password',
  'token',
  'bearer',
  'apikey',
  'xapikey',
  'secret',
  'secrets',
  'previoussecrets',
  'secretkeys',
  'clientsecret',
  'accesstoken',
  'jwtsecret',
  'customheaders',
  'data',
  'datajson',
  'payload',
  'body',
  'response',
  'params',
  'query',
  'sql',
]);

/** Signing secrets, bearer tokens, JWTs and passwords in URLs, in any text: messages of foreign libraries quote their input. */
const SECRET_TEXT =
  /whsec_[\w+/=-]+|\b(?:Bearer|Basic)\s+[\w.~+/=-]+|\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*|(?<=:\/\/[^\s:/@"\\]{1,100}:)[^\s@/"\\]{1,200}(?=@)/gi;
/** A cheap look before the costly one: no secret, and nothing to escape, without one of these. */
const SUSPICIOUS =
  /whsec_|[Bb]earer|BEARER|[Bb]asic|BASIC|eyJ|@|[\u007f-\u009f\u00ad\u0600-\u061c\u06dd\u070f\u0890-\u08e2\u180e\u200b-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]/;
/**
 * JSON escapes what is below U+0020; a terminal also obeys U+0080 to U+009F, and some viewers break lines at U+2028. Format controls turn
 * text round (U+202E) or are not seen at all, so that a line reads as something that it does not say.
 */
const CONTROLS_BEYOND_JSON = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;

/** Deeper than any value logged on purpose. */
const MAX_DEPTH = 6;
/** Longer lists say nothing more to a reader. */
const MAX_ITEMS = 50;
/** Library messages may quote whole statements. */
const MAX_MESSAGE_LENGTH = 1000;
const MAX_CAUSES = 4;

export function redactText(text: string): string {
  if (!SUSPICIOUS.test(text)) return text;
  return text
    .replace(SECRET_TEXT, REDACTED)
    .replaceAll(CONTROLS_BEYOND_JSON, (character) => character.split('').map(escaped).join(''));
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The fields of a log line without what may not be in it. A line of numbers and short texts passes untouched. */
export function redactFields(fields: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const name in fields) {
    const value = fields[name];
    const clean = isSecretName(name) ? (value === undefined ? undefined : REDACTED) : redactValue(value, 1);
    if (clean !== value) {
      copy ??= { ...fields };
      copy[name] = clean;
    }
  }
  return copy ?? fields;
}

/**
 * What is logged of an error: type, message, code, stack and causes. Other properties are left out, because libraries hang
 * requests, statements and parameters on their errors.
 */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error))
    return { type: 'not an Error', message: typeof error === 'string' ? redactText(error) : typeof error };
  const described: Record<string, unknown> = { type: error.name, message: errorMessage(error) };
  for (const name of ['code', 'reason', 'errno', 'syscall', 'constraint', 'table'] as const) {
    const value = (error as unknown as Record<string, unknown>)[name];
    if (typeof value === 'string' || typeof value === 'number') described[name] = value;
  }
  // The first lines of a stack repeat the message, which may be long and stands above.
  const frames = error.stack?.split('\n').filter((line) => line.startsWith('    at '));
  if (frames !== undefined && frames.length > 0) described['stack'] = frames.join('\n');
  if (error.cause !== undefined && depth < MAX_CAUSES) described['cause'] = describeError(error.cause, depth + 1);
  return described;
}

// The ORM puts "<statement with its values> - <reason>" into messages: only the reason may be logged.
function errorMessage(error: Error): string {
  let message = error.message;
  if (/^\s*(?:select|insert|update|delete|with|begin|commit|alter|create)\b/i.test(message)) {
    message = message.slice(message.lastIndexOf(' - ') + 1).replace(/^- /, '');
    if (message === error.message) message = 'a statement failed';
  }
  return redactText(message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message);
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return describeError(value);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => redactValue(item, depth + 1));
  const clean: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    // Names of custom headers are the customer's choice, so no header's value is logged.
    const secret = isSecretName(name) || (typeof item === 'object' && item !== null && name.toLowerCase() === 'headers');
    clean[name] = secret
      ? name.toLowerCase() === 'headers'
        ? Object.keys(item as object)
        : REDACTED
      : redactValue(item, depth + 1);
  }
  return clean;
}

const known = new Map<string, boolean>();
/** Field names are few and of our own making; the bound only guards against a caller that logs foreign maps. */
const MAX_KNOWN_NAMES = 2000;

function isSecretName(name: string): boolean {
  let secret = known.get(name);
  if (secret === undefined) {
    const plain = name.toLowerCase().replaceAll(/[-_]/g, '');
    secret = SECRET_NAMES.has(plain) || plain.endsWith('secret') || plain.endsWith('password') || plain.endsWith('token');
    if (known.size < MAX_KNOWN_NAMES) known.set(name, secret);
  }
  return secret;
}
