// Which payloads are accepted, and that every receiver gets bytes it can serialise again.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deliveryBody } from '../../src/domain/body.ts';
import { canonicalPayload, MAX_PAYLOAD_DEPTH, parsePayload } from '../../src/domain/payload.ts';

const LIMIT = 1_048_576;
const parse = (text: string) => parsePayload(Buffer.from(text), LIMIT, 'data');
const nested = (levels: number) => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

describe('a payload', () => {
  test('is delivered as bytes that equal their own round trip', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: 'binary' }).filter((key) => key !== '__proto__'),
          fc.jsonValue({ maxDepth: 5 }),
        ),
        (object) => {
          fc.pre(!JSON.stringify(object).includes('"__proto__"'));
          const data = parse(JSON.stringify(object));
          const body = deliveryBody({
            eventType: 'order.created',
            data,
            occurredAtMs: 0,
            webhookId: 'webhook_1',
            deliveryId: 'delivery_1',
          });
          expect(JSON.stringify(JSON.parse(body))).toBe(body);
          expect(JSON.parse(body).data).toEqual(JSON.parse(JSON.stringify(object)));
        },
      ),
    );
  });

  test.each([
    ['\u0000 in a string', '{"a":"\\u0000"}'],
    ['a lone surrogate', '{"a":"\\ud800"}'],
    ['numbers in any spelling', '{"a":1E3,"b":-0,"c":1.10}'],
    ['keys that look like numbers', '{"b":1,"2":2,"1":3}'],
    ['the deepest nesting allowed', nested(MAX_PAYLOAD_DEPTH)],
    ['an empty object', '{}'],
  ])('is accepted with %s', (_name, text) => {
    expect(parse(text)).toBe(JSON.stringify(JSON.parse(text)));
  });

  test.each([
    ['payload_not_object', '[]'],
    ['payload_not_object', 'null'],
    ['payload_not_object', '"text"'],
    ['payload_malformed', '{"a":NaN}'],
    ['payload_malformed', '{"a":1,}'],
    ['payload_malformed', ''],
    ['payload_number_not_representable', '{"a":1e400}'],
    ['payload_number_not_representable', '{"a":9007199254740993}'],
    ['payload_number_not_representable', '{"a":12345678901234567168}'],
    ['key_duplicate', '{"a":1,"\\u0061":2}'],
    ['payload_too_deep', nested(MAX_PAYLOAD_DEPTH + 1)],
    ['payload_key_forbidden', '{"a":{"__proto__":{}}}'],
  ])('is refused as %s: %s', (reason, text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ reason }));
  });

  test.each([
    ['data.ids[1]', '{"ids":[1,-9007199254740993]}'],
    ['data.a.b', '{"x":"\\"}{,:","a":{"b":[],"c":{} , "b":2}}'],
    ['data.a', '{"a":' + '9'.repeat(400_000) + '}'],
  ])('is refused with the path %s', (field, text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ violations: [expect.objectContaining({ field })] }));
  });

  test.each([
    ['{"a":9007199254740991,"b":-9007199254740992,"c":1234567890123456}'],
    ['{"a":"9007199254740993","b":0.30000000000000004,"c":1.2345678901234567890,"d":12345678901234567e3}'],
    ['{"a":{"k":1},"b":{"k":1},"c":[{"k":":"},{"k":"\\":"}], "9007199254740993" : 1}'],
  ])('is taken when nothing in it changes: %s', (text) => {
    expect(parse(text)).toBe(JSON.stringify(JSON.parse(text)));
  });

  test('is refused as malformed when it is not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(() => parsePayload(bytes, LIMIT, 'data')).toThrow(expect.objectContaining({ reason: 'payload_malformed' }));
  });

  test('is measured in bytes, not in characters', () => {
    const text = JSON.stringify({ a: 'é'.repeat(50) });
    expect(() => canonicalPayload(JSON.parse(text), 100, 'data')).toThrow(
      expect.objectContaining({ reason: 'payload_too_large' }),
    );
    expect(canonicalPayload(JSON.parse(text), Buffer.byteLength(text), 'data')).toBe(text);
  });
});
