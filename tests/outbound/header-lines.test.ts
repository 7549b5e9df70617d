// Header lines: no value begins another header, and no name frames the message.
import { expect, test } from 'vitest';
import { HeaderForm, headerLines } from '../../src/outbound/header-lines.ts';

test('each value stands behind its name, in order, and each line has its end', () => {
  expect(headerLines({ 'x-one': '1', 'X-Two': 'zw\u00f6lf' })).toBe('x-one: 1\r\nX-Two: zw\u00f6lf\r\n');
  const form = new HeaderForm(['x-one', 'x-two']);
  expect([form.lines(['a', 'b']), form.lines(['', '2'])]).toEqual(['x-one: a\r\nx-two: b\r\n', 'x-one: \r\nx-two: 2\r\n']);
  expect(headerLines({})).toBe('');
});

test.each(['a\r\nHost: evil', 'a\nb', 'a\rb', 'a\0b', '\u20ac', '\u007f'])(
  'the value %j is not sent, whichever way it comes',
  (value) => {
    expect(headerLines({ 'x-one': '1', 'x-bad': value })).toBeNull();
    expect(new HeaderForm(['x-one', 'x-bad']).lines(['1', value])).toBeNull();
  },
);

test.each([
  '',
  'bad name',
  'x:y',
  'Host',
  'connection',
  'Content-Length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
])('the name %j is not sent, whichever way it comes', (name) => {
  expect(headerLines({ 'x-one': '1', [name]: 'x' })).toBeNull();
  expect(() => new HeaderForm(['x-one', name])).toThrow(RangeError);
});
