// Custom headers: none may carry the protocol, the signature, or a second header in its value.
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../src/domain/errors.ts';
import { checkCustomHeaders } from '../../src/security/custom-headers.ts';

function check(headers: Record<string, string>): string {
  try {
    checkCustomHeaders(headers, 'X-Acme-Signature');
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return `${error.code} ${error.reason} ${error.violations[0]?.field}`;
  }
}

describe('a custom header', () => {
  it.each([
    ['Authorization', 'Bearer abc.def'],
    ['X-Api-Key', 'k'],
    ['x-empty', ''],
    ['x-latin', 'Crème brûlée'],
    ['x_underscore', 'a b\u00a0c'],
    ["x!#$%&'*+-.^_`|~", '!"#$%&()'],
    ['Accept', '*/*'],
    ['X-Contents', 'content- is a prefix of another word'],
    ['x-long', 'x'.repeat(4096)],
  ])('%s: is accepted', (name, value) => {
    expect(check({ [name]: value })).toBe('accepted');
  });

  it.each(
    'Host host HOST Connection Content-Length content-type CONTENT-ENCODING Content-Anything Transfer-Encoding TE Trailer Upgrade HTTP2-Settings Keep-Alive Expect Proxy-Authorization Proxy-Connection proxy-x Cookie webhook-id Webhook-Signature webhook-x X-HomeChef-Signature x-homechef-anything X-Acme-Signature x-acme-signature User-Agent traceparent tracestate'.split(
      ' ',
    ),
  )('%s: is refused, as it is ours to set', (name) => {
    expect(check({ [name]: 'x' })).toBe(`invalid_argument header_forbidden custom_headers[${JSON.stringify(name)}]`);
  });

  it.each([
    ['', ''],
    [' x', '?x'],
    ['x y', 'x?y'],
    ['x:', 'x?'],
    ['x\r\nHost', 'x??Host'],
    ['x\0', 'x?'],
    ['x\u001b[31m', 'x??31m'],
    ['ümlaut', '?mlaut'],
    ['x(y)', 'x?y?'],
    [':authority', '?authority'],
    ['x'.repeat(129), 'x'.repeat(64)],
  ])('name %j is refused and shown as %j', (name, shown) => {
    expect(check({ [name]: 'x' })).toBe(`invalid_argument header_forbidden custom_headers[${JSON.stringify(shown)}]`);
  });

  it.each([
    'a\r\nHost: evil',
    'a\n',
    '\ta',
    'a\tb',
    'a\0b',
    'a\u007f',
    'a\u0080',
    '€',
    '日本',
    '🍮',
    ' a',
    'a ',
    '\u00a0a',
    '\ud800',
    'x'.repeat(4097),
  ])('value %j is refused, and not repeated', (value) => {
    expect(check({ 'x-name': value })).toBe('invalid_argument header_forbidden custom_headers["x-name"]');
    expect(() => checkCustomHeaders({ 'x-name': `secret${value}\n` }, '')).toThrow(/^(?!.*secret)/);
  });

  it('is refused when another differs from it in letter case only', () => {
    expect(check({ 'X-A': '1', 'x-a': '2' })).toBe('invalid_argument header_forbidden custom_headers["x-a"]');
  });
});

it('fifty custom headers are accepted, fifty-one refused', () => {
  const headers = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']));
  expect(check(headers(50))).toBe('accepted');
  expect(check(headers(51))).toBe('invalid_argument header_forbidden custom_headers');
});

it('custom headers of 8,192 bytes in all are accepted, one byte more is refused', () => {
  const headers = (bytes: number) => ({ 'x-a': 'v'.repeat(4093), 'x-b': 'v'.repeat(bytes - 4096 - 3) });
  expect(check(headers(8192))).toBe('accepted');
  expect(check(headers(8193))).toBe('invalid_argument header_forbidden custom_headers');
});

it('a header from a hostile prototype name is an ordinary header', () => {
  expect(check(JSON.parse('{"__proto__":"x","constructor":"y"}'))).toBe('accepted');
});
