// The egress policy, over every spelling of a forbidden place that we know of.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, toConfig } from '../../src/config.ts';
import { ServiceError } from '../../src/domain/errors.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';

interface Vectors {
  readonly forbiddenUrls: string[];
  readonly invalidUrls: string[];
  readonly forbiddenPorts: number[];
  readonly accepted: Record<string, string>;
  readonly metadata: string[];
}

const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/egress.json', import.meta.url), 'utf8'));
const production = policy('production', []);
const development = new EgressPolicy(toConfig({}));
const everything = policy('development', ['0.0.0.0/0', '::/0']);

function policy(
  environment: 'production' | 'development',
  allowedCidrs: string[],
  allowHttp = environment !== 'production',
): EgressPolicy {
  return new EgressPolicy({ environment, egress: { allowedCidrs, allowHttp } });
}

function check(by: EgressPolicy, url: string): string {
  try {
    return by.checkUrl(url);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return `${error.code} ${error.reason} ${error.violations[0]?.field}`;
  }
}

describe('the static check, in production', () => {
  it.each(vectors.forbiddenUrls)('forbids %j', (url) => {
    expect(check(production, url)).toBe('invalid_argument endpoint_url_forbidden url');
  });

  it.each(vectors.forbiddenUrls)('forbids %j by http too, where http is allowed', (url) => {
    expect(check(policy('production', [], true), url.replace('https:', 'http:'))).toBe(
      'invalid_argument endpoint_url_forbidden url',
    );
  });

  it.each(vectors.invalidUrls)('calls %j invalid', (url) => {
    expect(check(production, url)).toBe('invalid_argument endpoint_url_invalid url');
  });

  it.each(vectors.forbiddenPorts)('forbids port %i', (port) => {
    expect(check(production, `https://example.com:${port}/`)).toBe('invalid_argument endpoint_url_forbidden url');
    expect(check(development, `https://example.com:${port}/`)).toBe(`https://example.com:${port}/`);
  });

  it.each(Object.entries(vectors.accepted))('accepts %j as %j', (url, stored) => {
    expect(check(production, url)).toBe(stored);
    expect(check(production, stored), 'the stored form is accepted and stays').toBe(stored);
  });

  it('takes 2048 characters and not one more, before and after encoding', () => {
    const start = 'https://example.com/';
    const longest = start + 'a'.repeat(2048 - start.length);
    expect(check(production, longest)).toBe(longest);
    expect(check(production, `${longest}a`)).toContain('endpoint_url_invalid');
    expect(check(production, start + 'é'.repeat(1000))).toContain('endpoint_url_invalid');
  });

  it('takes labels of 63 characters and names of 253', () => {
    const label = 'a'.repeat(63);
    const name = `${label}.${label}.${label}.${'a'.repeat(61)}`;
    expect(check(production, `https://${name}/`)).toBe(`https://${name}/`);
    expect(check(production, `https://${name}a/`)).toContain('endpoint_url_invalid');
  });

  it('repeats nothing of the URL in its message', () => {
    expect(() => production.checkUrl('https://token-in-name.internal/')).toThrow(/^(?!.*token)/);
  });
});

describe('the static check, with the defaults of development', () => {
  it.each([
    'http://localhost:3000/hook',
    'http://127.0.0.1:3000/hook',
    'http://127.0.0.1:59123/hook?a=b',
    'http://[::1]:3000/hook',
    'http://shop.localhost:3000/hook',
    'https://localhost/hook',
    'http://example.com/hook',
  ])('accepts %s', (url) => {
    expect(check(development, url)).toBe(url);
    expect(check(production, url)).not.toBe(url);
  });

  it.each([
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/',
    'http://[fd00::1]/',
    'http://intranet/',
    'http://a.internal/',
    'http://0.0.0.0/',
  ])('still forbids %s', (url) => {
    expect(check(development, url)).toBe('invalid_argument endpoint_url_forbidden url');
  });
});

describe('the check of a dialled address', () => {
  it.each(vectors.metadata)('refuses the metadata address %s even when everything is allowed', (address) => {
    expect(everything.allowsAddress(address)).toBe(false);
    expect(production.allowsAddress(address)).toBe(false);
  });

  it.each(['10.0.0.1', '127.0.0.1', '::1', 'fd00::1', '::ffff:10.0.0.1', '224.0.0.1', '2001:db8::1', '0.0.0.0', '::'])(
    'refuses %s until its range is allowed',
    (address) => {
      expect(production.allowsAddress(address)).toBe(false);
      expect(everything.allowsAddress(address)).toBe(true);
    },
  );

  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450::1',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ])('lets %s through', (address) => {
    expect(production.allowsAddress(address)).toBe(true);
  });

  it.each([
    '',
    'localhost',
    'example.com',
    '127.1',
    '0x7f.1',
    '2130706433',
    '1.2.3',
    'fe80::1%eth0',
    '2606:4700::1%lo',
    '[::1]',
    ' 8.8.8.8',
    '8.8.8.8 ',
  ])('refuses %j, which is no plain address', (text) => {
    expect(everything.allowsAddress(text)).toBe(false);
  });

  it('takes an IPv4 range to hold its mapped form, and not what lies behind a NAT64 gateway', () => {
    const private10 = policy('production', ['10.0.0.0/8']);
    expect(
      ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::10.1.2.3', '2002:a01:203::', '11.0.0.1', '192.168.0.1'].map((a) =>
        private10.allowsAddress(a),
      ),
    ).toEqual([true, true, false, false, true, false]);
  });

  it('agrees with the static check on every literal', () => {
    const literals = vectors.forbiddenUrls.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''));
    expect(literals.filter((literal) => production.allowsAddress(literal))).toEqual([]);
  });
});

it.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.0/x', 'localhost/8', '10/8', '10.0.0.0/8/8', '::1/129', 'fe80::%eth0/10'])(
  'a start with the range %j is refused',
  (cidr) => {
    expect(() => policy('production', [cidr])).toThrow(ConfigError);
  },
);
