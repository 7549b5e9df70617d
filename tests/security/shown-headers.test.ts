// What of headers is kept with an attempt: bounded, and nothing that may be a credential.
import { expect, test } from 'vitest';
import {
  MAX_HEADERS_KEPT,
  MAX_SIDE_CHARACTERS,
  MAX_VALUE_CHARACTERS,
  shownRequestHeaders,
  shownResponseHeaders,
} from '../../src/security/shown-headers.ts';

const MASKED = '********';
const request = (...lines: string[]): string => shownRequestHeaders(['POST /hook HTTP/1.1', ...lines, ''].join('\r\n'));
const response = (...lines: string[]): string => shownResponseHeaders(['HTTP/1.1 500 No', ...lines, '', ''].join('\r\n'));

test('of a request the values are shown that the service writes, and hold no secret; all others are masked', () => {
  expect(
    request(
      'host: chef.example',
      'X-Tenant: 17',
      'Authorization: Bearer abc',
      'X-HomeChef-Signature: sha256=00',
      'webhook-signature: v1,abc',
      'webhook-id: delivery_1',
      'x-homechef-attempt: 2',
    ).split('\n'),
  ).toEqual([
    'host: chef.example',
    `X-Tenant: ${MASKED}`,
    `Authorization: ${MASKED}`,
    `X-HomeChef-Signature: ${MASKED}`,
    `webhook-signature: ${MASKED}`,
    'webhook-id: delivery_1',
    'x-homechef-attempt: 2',
  ]);
});

test.each([
  'Set-Cookie: sid=1; HttpOnly',
  'set-cookie2: sid=1',
  'Authentication-Info: nextnonce="1"',
  'X-Auth-Token: abc',
  'X-CSRF-Token: abc',
  'X-Api-Key: abc',
  'apikey: abc',
  'X-Session-Id: abc',
  'X-Client-Secret: abc',
  'X-Amz-Signature: abc',
  'X-Echo: Bearer abc.def',
  'X-Echo: basic dXNlcjpwYXNz',
  'X-Echo: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc',
  'X-Echo: it was whsec_MfKQ9r8GKYqrTwjU',
])('the value of %s is masked in a response', (line) => {
  expect(response(line)).toBe(`${line.slice(0, line.indexOf(':'))}: ${MASKED}`);
});

test.each([
  'WWW-Authenticate: Bearer realm="orders", error="invalid_token"',
  'X-Request-Id: 6f1c4f4e-7d0e-4d52-9c39-0d1a0a2f7c11',
  'CF-Ray: 8f2a3b4c5d6e7f80-VIE',
  'Retry-After: 120',
  'Server: nginx/1.25.3',
  'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
  'X-Empty: ',
])('%s is shown', (line) => {
  expect(response(line)).toBe(line);
});

test('where a redirect leads is shown without what its query and its user say', () => {
  expect(response('Location: https://user:word@login.example/in?ticket=abc&next=/x#part')).toBe(
    `Location: https://${MASKED}@login.example/in?${MASKED}#part`,
  );
});

test('what is no printable ASCII is a question mark, what is no header is left out', () => {
  expect(response('no header', ': nameless', 'x-dish: Cr\xe8me\0\x1b[2J', '')).toBe('x-dish: Cr?me??[2J');
});

test('a line that goes on with the one before is left out: it may be the rest of a credential', () => {
  expect(response('Set-Cookie: a=b;', ' session: hunter2', '\tkey: hunter2', 'Server: oven')).toBe(
    `Set-Cookie: ${MASKED}\nServer: oven`,
  );
});

test('a value, a side and its lines are bounded', () => {
  const [line] = response(`x: ${'a'.repeat(20_000)}`).split('\n');
  expect(line).toBe(`x: ${'a'.repeat(MAX_VALUE_CHARACTERS - 3)}...`);
  const long = response(...Array.from({ length: 60 }, (_, n) => `x-${n}: ${'a'.repeat(400)}`));
  expect(long.length).toBeLessThanOrEqual(MAX_SIDE_CHARACTERS);
  expect(long.split('\n').length).toBe(Math.floor(MAX_SIDE_CHARACTERS / 407));
  expect(response(...Array.from({ length: 1000 }, () => 'a: b')).split('\n')).toHaveLength(MAX_HEADERS_KEPT);
});
