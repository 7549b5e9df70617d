// What production does not start with: secrets that are missing, known, short or dull. None of them is ever repeated.
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ConfigError, DEVELOPMENT_JWT_SECRET, toConfig } from '../src/config.ts';

const key = (bytes: Buffer, id = 'k1') => `${id}:${bytes.toString('base64')}`;
const good = {
  ENVIRONMENT: 'production',
  JWT_SECRET: randomBytes(32).toString('base64'),
  WEBHOOK_SECRET_KEYS: key(randomBytes(32)),
};

function refusal(change: Record<string, string>): string {
  try {
    toConfig({ ...good, ...change });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return '';
}

test('good secrets are taken', () => {
  expect(refusal({})).toBe('');
  expect(toConfig(good)).toMatchObject({ reflection: false, egress: { allowedCidrs: [], allowHttp: false } });
});

describe('JWT_SECRET', () => {
  test.each([
    ['missing', ''],
    ['31 bytes', 'abcdefghijklmnopqrstuvwxyz01234'],
    ['development’s own', DEVELOPMENT_JWT_SECRET],
    ['the documentation’s', 'your-jwt-secret-key'],
    ['one letter, forty times', 'a'.repeat(40)],
    ['a few letters, over and over', 'abcdabcdabcdabcdabcdabcdabcdabcdabcd'],
  ])('%s is refused, by name and not by value', (_, value) => {
    const told = refusal({ JWT_SECRET: value });
    expect(told).toMatch(/^JWT_SECRET must be /);
    if (value !== '') expect(told).not.toContain(value);
  });

  test('may be missing where public keys stand in for it', () => {
    expect(refusal({ JWT_SECRET: '', JWT_JWKS_URL: 'https://issuer.example/keys' })).toBe('');
  });
});

describe('WEBHOOK_SECRET_KEYS', () => {
  test.each([
    ['missing', ''],
    ['all zeros', key(Buffer.alloc(32))],
    ['one byte, over and over', key(Buffer.alloc(32, 0x61))],
    ['31 bytes', key(randomBytes(31))],
    ['33 bytes', key(randomBytes(33))],
    ['without an id', randomBytes(32).toString('base64')],
    ['an id that could be mistaken', key(randomBytes(32), 'k 1')],
    ['one bad key behind a good one', `${good.WEBHOOK_SECRET_KEYS},${key(Buffer.alloc(32), 'k0')}`],
  ])('%s is refused, by name and not by value', (_, value) => {
    const told = refusal({ WEBHOOK_SECRET_KEYS: value });
    expect(told).toMatch(/^WEBHOOK_SECRET_KEYS must be /);
    for (const secret of value.split(/[:,]/).filter((part) => part.length > 8)) expect(told).not.toContain(secret);
  });
});

test('a database number is refused with a cluster, which has no other than 0', () => {
  expect(refusal({ REDIS_CLUSTER_NODES: 'redis-a:6379', REDIS_DB: '1' })).toMatch(/^REDIS_DB must be 0/);
});

describe('TRUST_PROXY', () => {
  test.each<[string, number | string[]]>([
    ['', 0],
    ['false', 0],
    ['0', 0],
    ['true', 1],
    ['1', 1],
    ['2', 2],
    ['10.0.0.0/8, 192.0.2.1,fd00::/8', ['10.0.0.0/8', '192.0.2.1', 'fd00::/8']],
  ])('%j is %j', (value, expected) => {
    expect(toConfig({ ...good, TRUST_PROXY: value }).trustProxy).toEqual(expected);
  });

  test.each(['yes', '17', '1.5', '-1', '10.0.0.0/33', '10.0.0.0/8/8', 'proxy.example', '::/129', '10.0.0.0/'])(
    '%j is refused',
    (value) => {
      expect(refusal({ TRUST_PROXY: value })).toMatch(/^TRUST_PROXY must be /);
    },
  );
});

test('development listens on this machine alone, unless it is told otherwise', () => {
  expect(toConfig({}).host).toBe('127.0.0.1');
  expect(toConfig(good).host).toBe('0.0.0.0');
  expect(toConfig({ SERVER_HOST: '0.0.0.0' }).host).toBe('0.0.0.0');
});
