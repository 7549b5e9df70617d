// Signatures, held against vectors computed elsewhere and against the published libraries that receivers use.
import { readFileSync } from 'node:fs';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { describe, expect, it } from 'vitest';
import { newSecret, signHeaders, signingKey, verify, verifyHomechef } from '../../src/security/signature.ts';

interface Vector {
  readonly name: string;
  readonly secret: string;
  readonly id: string;
  readonly timestamp: number;
  readonly body: string | { before: string; repeat: string; times: number; after: string };
  readonly homechef: string;
  readonly standard: string;
}

const vectors: Vector[] = JSON.parse(readFileSync(new URL('../vectors/signatures.json', import.meta.url), 'utf8'));

function bodyOf({ body }: Vector): string {
  return typeof body === 'string' ? body : body.before + body.repeat.repeat(body.times) + body.after;
}

function sign(secrets: readonly string[], body: string | Buffer, timestampSeconds: number, deliveryId = 'delivery_1') {
  return signHeaders({
    keys: secrets.map(signingKey),
    deliveryId,
    body,
    timestampSeconds,
    homechefHeaderName: 'X-HomeChef-Signature',
  });
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

describe.each(vectors)('vector: $name', (vector) => {
  const body = bodyOf(vector);

  it.each([
    ['text', body],
    ['bytes', Buffer.from(body)],
  ])('is what we sign, given as %s', (_, given) => {
    expect(sign([vector.secret], given, vector.timestamp, vector.id)).toEqual({
      'X-HomeChef-Signature': vector.homechef,
      'webhook-id': vector.id,
      'webhook-timestamp': String(vector.timestamp),
      'webhook-signature': vector.standard,
    });
  });

  it('is what the standardwebhooks and svix libraries sign', () => {
    const at = new Date(vector.timestamp * 1000);
    expect(new StandardWebhook(vector.secret).sign(vector.id, at, body)).toBe(vector.standard);
    expect(new SvixWebhook(vector.secret).sign(vector.id, at, body)).toBe(vector.standard);
  });

  it('verifies within five minutes of its timestamp, both ways, and not a second later', () => {
    const headers = {
      'webhook-id': vector.id,
      'webhook-timestamp': String(vector.timestamp),
      'webhook-signature': vector.standard,
    };
    const at = (offset: number) => verify({ secret: vector.secret, headers, body, nowSeconds: vector.timestamp + offset });
    expect([-301, -300, 0, 300, 301].map(at)).toEqual([false, true, true, true, false]);
    expect(verifyHomechef(vector.secret, vector.homechef, body)).toBe(true);
  });
});

describe('a request signed now', () => {
  const body = '{"event":"order.created","data":{"dish":"Crème brûlée 🍮"}}';

  it('verifies with the published libraries as they are', () => {
    const secret = newSecret();
    const headers = sign([secret], body, now());
    expect(new StandardWebhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new SvixWebhook(secret).verify(body, headers)).not.toThrow();
    expect(() => new SvixWebhook(newSecret()).verify(body, headers)).toThrow('No matching signature found');
  });

  it('verifies with the new and with the old secret during a rotation, and the HomeChef header with the new one only', () => {
    const [newest, older] = [newSecret(), newSecret()];
    const headers = sign([newest, older], body, now());
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(2);
    for (const secret of [newest, older]) {
      expect(verify({ secret, headers, body, nowSeconds: now() })).toBe(true);
      expect(new StandardWebhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    }
    expect(verify({ secret: newSecret(), headers, body, nowSeconds: now() })).toBe(false);
    expect(verifyHomechef(newest, headers['X-HomeChef-Signature'], body)).toBe(true);
    expect(verifyHomechef(older, headers['X-HomeChef-Signature'], body)).toBe(false);
  });

  it('carries at most five signatures', () => {
    const secrets = Array.from({ length: 7 }, newSecret);
    const headers = sign(secrets, body, now());
    const accepted = secrets.map((secret) => verify({ secret, headers, body, nowSeconds: now() }));
    expect(accepted).toEqual([true, true, true, true, true, false, false]);
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(5);
  });

  it('is never made without a key', () => {
    expect(() => sign([], body, now())).toThrow(RangeError);
  });

  it.each([
    ['another body', { body: `${body} ` }],
    ['another id', { 'webhook-id': 'delivery_2' }],
    ['another timestamp', { 'webhook-timestamp': String(now() - 1) }],
    ['no id', { 'webhook-id': undefined }],
    ['no timestamp', { 'webhook-timestamp': undefined }],
    ['no signature', { 'webhook-signature': undefined }],
    ['an empty signature', { 'webhook-signature': '' }],
    ['a signature cut short', { 'webhook-signature': 'v1,AAAA' }],
    ['another version', { 'webhook-signature': 'v2,' }],
    ['a timestamp that is no number', { 'webhook-timestamp': '1e9' }],
    ['a negative timestamp', { 'webhook-timestamp': '-1' }],
    ['a timestamp beyond any clock', { 'webhook-timestamp': '9'.repeat(40) }],
  ])('does not verify with %s', (_, change) => {
    const secret = newSecret();
    const headers: Record<string, string | undefined> = sign([secret], body, now());
    const { body: changedBody, ...changedHeaders } = { body, ...change };
    expect(verify({ secret, headers: { ...headers, ...changedHeaders }, body: changedBody, nowSeconds: now() })).toBe(false);
  });
});

describe('a secret', () => {
  it('is whsec_ and 32 random bytes in padded base64', () => {
    const secrets = new Set(Array.from({ length: 1000 }, newSecret));
    expect(secrets.size).toBe(1000);
    for (const secret of secrets) {
      expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      expect(() => signingKey(secret)).not.toThrow();
    }
  });

  it.each([
    ['', 'empty'],
    ['whsec_', 'only the prefix'],
    [`whsec_${Buffer.alloc(23, 1).toString('base64')}`, 'too short'],
    [`whsec_${Buffer.alloc(65, 1).toString('base64')}`, 'too long'],
    [Buffer.alloc(32, 1).toString('base64'), 'no prefix'],
    [`whsec_${Buffer.alloc(32, 1).toString('base64').replace('=', '')}`, 'no padding'],
    [`whsec_${Buffer.alloc(32, 255).toString('base64url')}=`, 'base64url'],
    [`whsec_ ${Buffer.alloc(32, 1).toString('base64')}`, 'a space'],
  ])('is refused when it is not one, without being repeated: %j (%s)', (secret) => {
    expect(() => signingKey(secret)).toThrow(RangeError);
    expect(() => signingKey(secret)).not.toThrow(secret.length > 8 ? secret.slice(6) : 'no such text');
  });
});
