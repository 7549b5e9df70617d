// Custom headers: which ones a webhook may add to its requests.
import { invalid, type ServiceError } from '../domain/errors.ts';

export const MAX_CUSTOM_HEADERS = 50;
const MAX_NAME_CHARACTERS = 128;
/** Most receivers stop reading at 8 or 16 KiB of headers in all. */
const MAX_VALUE_BYTES = 4096;
/** Names and values of all headers together. Many receivers read no more, and a process keeps them for thousands of webhooks. */
export const MAX_HEADERS_BYTES = 8192;
/** How the value of a header reads back that is not shown; given back unchanged in an update, it keeps what is stored. */
export const MASKED_VALUE = '********';
/** How much of a refused name is repeated in the error. */
const SHOWN_NAME_CHARACTERS = 64;

/** A token, as HTTP calls it (RFC 9110, 5.6.2). */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Latin-1 without control characters, and no space at either end, where it would get lost. */
const VALUE = /^(?:[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa1-\xff])?)?$/;

/** What frames the message or belongs to the connection, and what this service itself says about the request. */
const FORBIDDEN_NAMES = new Set([
  'host',
  'connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'http2-settings',
  'keep-alive',
  'expect',
  'cookie',
  'user-agent',
  'traceparent',
  'tracestate',
]);
const FORBIDDEN_PREFIXES = ['content-', 'proxy-', 'webhook-', 'x-homechef-'];

/**
 * Checks the headers a user wants sent with every request; `signatureHeaderName` is WEBHOOK_SIGNATURE_HEADER. Throws
 * `header_forbidden`, naming the header and never its value: values are often credentials. Called when headers are written, not when
 * they are read: those stored under earlier rules stay in use.
 */
export function checkCustomHeaders(headers: Readonly<Record<string, string>>, signatureHeaderName: string): void {
  const names = Object.keys(headers);
  if (names.length > MAX_CUSTOM_HEADERS) {
    throw invalid('header_forbidden', 'custom_headers', `must be at most ${MAX_CUSTOM_HEADERS} headers`);
  }
  const seen = new Set<string>();
  let bytes = 0;
  for (const name of names) {
    if (!TOKEN.test(name) || name.length > MAX_NAME_CHARACTERS) throw refused(name, 'is not a valid header name');
    const lower = name.toLowerCase();
    if (seen.has(lower)) throw refused(name, 'is given twice, in different letter case');
    seen.add(lower);
    if (
      lower === signatureHeaderName.toLowerCase() ||
      FORBIDDEN_NAMES.has(lower) ||
      FORBIDDEN_PREFIXES.some((prefix) => lower.startsWith(prefix))
    ) {
      throw refused(name, 'is set by the service and cannot be chosen');
    }
    const value = headers[name] ?? '';
    if (value.length > MAX_VALUE_BYTES) throw refused(name, `must have a value of at most ${MAX_VALUE_BYTES} bytes`);
    if (!VALUE.test(value)) throw refused(name, 'must have a value of visible Latin-1 characters');
    bytes += name.length + value.length;
  }
  if (bytes > MAX_HEADERS_BYTES) {
    throw invalid('header_forbidden', 'custom_headers', `must be at most ${MAX_HEADERS_BYTES} bytes in all, names included`);
  }
}

// The name is the caller's: only what is safe in a log line and a header is repeated.
function refused(name: string, message: string): ServiceError {
  const shown = name.slice(0, SHOWN_NAME_CHARACTERS).replaceAll(/[^!#$%&'*+.^_`|~0-9A-Za-z-]/g, '?');
  return invalid('header_forbidden', `custom_headers[${JSON.stringify(shown)}]`, message);
}
