// What does not parse is one line that names the variable; a blank value is none; and production starts with no secret that is missing,
// known, short or dull, none of which is ever repeated.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { relaxedSettings } from '../src/security/relaxed-settings.ts';
import { ConfigError, DEVELOPMENT_JWT_SECRET, redisLocation, toConfig } from '../src/config.ts';

const key = (bytes: Buffer, id = 'k1') => `${id}:${bytes.toString('base64')}`;
const good = {
  ENVIRONMENT: 'production',
  JWT_SECRET: randomBytes(32).toString('base64'),
  WEBHOOK_SECRET_KEYS: key(randomBytes(32)),
  DB_HOST: 'db.example',
};

/** Of these, separators alone are an empty list. */
const LISTS = /^(?:REDIS_CLUSTER_NODES|REDIS_SENTINELS|WEBHOOK_ALLOWED_CIDRS|CORS_ORIGINS)$/;

function refusal(change: Record<string, string | undefined>): string {
  try {
    toConfig({ ...good, ...change });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return '';
}

test('reflection is on in development and nowhere else, unless it is said', () => {
  expect(toConfig({ ENVIRONMENT: 'development' }).reflection).toBe(true);
  expect(toConfig({ ENVIRONMENT: 'development', GRPC_REFLECTION: 'false' }).reflection).toBe(false);
  expect(toConfig({ ENVIRONMENT: 'test' }).reflection).toBe(false);
});

test('good secrets are taken', () => {
  expect(refusal({})).toBe('');
  expect(toConfig(good)).toMatchObject({ reflection: false, egress: { allowedCidrs: [], allowHttp: false } });
});

const source = readFileSync(new URL('../src/config.ts', import.meta.url), 'utf8');
const variables = [
  ...new Set([...source.matchAll(/(?:read\.\w+\(|env\[)'([A-Z][A-Z0-9_]+)'/g)].map((match) => match[1] ?? '')),
];
/** They take any text: names, paths, and what only another server can judge. */
const FREE_TEXT = new Set(
  [
    'SERVER_HOST DATA_DIR DB_HOST DB_DIRECT_HOST DB_USER DB_PASSWORD DB_NAME REDIS_HOST REDIS_USERNAME REDIS_PASSWORD REDIS_KEY_PREFIX JWT_ISSUER',
    'JWT_AUDIENCE TLS_CERT_FILE TLS_KEY_FILE TLS_CLIENT_CA_FILE OTEL_SERVICE_NAME',
    'REDIS_SENTINEL_NAME REDIS_SENTINEL_USERNAME REDIS_SENTINEL_PASSWORD',
    'DB_SSLROOTCERT DB_SSLCERT DB_SSLKEY REDIS_TLS_CA_FILE REDIS_TLS_CERT_FILE REDIS_TLS_KEY_FILE',
  ].flatMap((names) => names.split(' ')),
);
/** With these everything that is read under a condition is read. */
const everything = {
  ...good,
  REDIS_HOST: 'redis',
  TLS_CERT_FILE: 'cert.pem',
  TLS_KEY_FILE: 'key.pem',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
};

describe('every variable', () => {
  test.each(variables)('%s that is blank is not set', (name) => {
    for (const env of [everything, { ENVIRONMENT: 'development' }]) {
      const without = attempt({ ...env, [name]: undefined });
      for (const blank of ['', ' ', ' \t ']) expect(attempt({ ...env, [name]: blank })).toEqual(without);
    }
  });

  test.each(variables.filter((name) => !FREE_TEXT.has(name)))(
    '%s that is garbage is refused in one line that names it',
    (name) => {
      for (const garbage of ['💥 no such thing', '-1 x', ',:,/', 'a\nb', '\0']) {
        const told = attempt({ ...everything, [name]: garbage });
        // A list of nothing is an empty list.
        if (typeof told !== 'string')
          expect([name, garbage]).toEqual([expect.stringMatching(LISTS), expect.stringMatching(/^[,\s]*$/)]);
        else expect(told).toMatch(new RegExp(`^${name} [^\n]+$`));
      }
    },
  );
});

/** The configuration, or the line that refuses it. Anything else that is thrown fails the test. */
function attempt(env: Record<string, string | undefined>): unknown {
  try {
    return toConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

describe('REDIS_CLUSTER_NODES', () => {
  test.each([
    ['redis-a', ['redis-a:6379']],
    ['redis-a:7000, redis-b', ['redis-a:7000', 'redis-b:6379']],
    ['10.0.0.1:7000', ['10.0.0.1:7000']],
    ['::1', ['[::1]:6379']],
    ['[::1]:7000', ['[::1]:7000']],
    ['[fd00::1]', ['[fd00::1]:6379']],
  ])('%s is %j', (value, nodes) => {
    expect(toConfig({ ...good, REDIS_CLUSTER_NODES: value }).redis?.clusterNodes).toEqual(nodes);
  });

  test.each(['redis-a:', 'redis-a:0', 'redis-a:70000', 'redis://a:1', '[redis-a]:1', 'a b:1', ':6379', '::1]:1'])(
    '%s is refused',
    (value) => {
      expect(refusal({ REDIS_CLUSTER_NODES: value })).toMatch(/^REDIS_CLUSTER_NODES must be .*not "/);
    },
  );

  test('without a port have the one of REDIS_PORT', () => {
    expect(toConfig({ ...good, REDIS_CLUSTER_NODES: 'a', REDIS_PORT: '7000' }).redis?.clusterNodes).toEqual(['a:7000']);
  });
});

test('sentinels stand in the place of a host, and have a port of their own', () => {
  const { redis } = toConfig({
    ...good,
    REDIS_HOST: 'redis',
    REDIS_SENTINELS: 'a, b:7000',
    REDIS_SENTINEL_NAME: 'webhooks',
    REDIS_SENTINEL_PASSWORD: 'secret',
  });
  expect(redis).toMatchObject({
    host: '',
    sentinel: { nodes: ['a:26379', 'b:7000'], master: 'webhooks', username: null, password: 'secret' },
  });
  expect(redis === null ? '' : redisLocation(redis)).toBe('master webhooks of the sentinels a:26379, b:7000');
});

test('what needs another variable is refused without it', () => {
  expect(refusal({ TLS_CLIENT_CA_FILE: 'ca.pem' })).toMatch(/^TLS_CLIENT_CA_FILE needs TLS_CERT_FILE and TLS_KEY_FILE/);
  expect(refusal({ TLS_CERT_FILE: 'cert.pem', TLS_KEY_FILE: 'key.pem', TLS_CLIENT_CA_HTTPS: 'true' })).toMatch(
    /^TLS_CLIENT_CA_HTTPS needs TLS_CLIENT_CA_FILE/,
  );
  expect(refusal({ TLS_CERT_FILE: 'cert.pem' })).toMatch(/^TLS_CERT_FILE and TLS_KEY_FILE must be set together/);
  expect(refusal({ DB_HOST: undefined })).toMatch(/^DB_HOST must be set in production/);
  for (const alone of [{ REDIS_SENTINELS: 'a' }, { REDIS_SENTINEL_NAME: 'webhooks' }])
    expect(refusal(alone)).toMatch(/^REDIS_SENTINELS and REDIS_SENTINEL_NAME must be set together/);
  expect(refusal({ REDIS_SENTINEL_PASSWORD: 'secret' })).toMatch(/^REDIS_SENTINEL_\w+ and \w+ need REDIS_SENTINELS/);
  expect(refusal({ REDIS_SENTINELS: 'a', REDIS_SENTINEL_NAME: 'webhooks', REDIS_CLUSTER_NODES: 'b' })).toMatch(
    /^REDIS_SENTINELS and REDIS_CLUSTER_NODES exclude each other/,
  );
});

describe('limits of size', () => {
  test.each([
    [{}, 1_048_576, 8_454_144, 16_777_216],
    [{ WEBHOOK_MAX_PAYLOAD_SIZE: '1000' }, 1000, 8_454_144, 16_777_216],
    [{ WEBHOOK_MAX_PAYLOAD_SIZE: '4194304' }, 4_194_304, 33_619_968, 33_619_968],
    [{ WEBHOOK_MAX_PAYLOAD_SIZE: '16777216' }, 16_777_216, 134_283_264, 134_283_264],
  ])('grow with the payload: %j', (env, payload, message, batch) => {
    const { maxPayloadBytes, maxMessageBytes, maxBatchBytes } = toConfig({ ...good, ...env });
    expect([maxPayloadBytes, maxMessageBytes, maxBatchBytes]).toEqual([payload, message, batch]);
  });

  test('are refused where one could not be reached for another', () => {
    expect(refusal({ WEBHOOK_MAX_MESSAGE_SIZE: '1048576' })).toMatch(/^WEBHOOK_MAX_MESSAGE_SIZE must be .* from 1114112 to/);
    expect(refusal({ WEBHOOK_MAX_BATCH_SIZE: '1048576' })).toMatch(/^WEBHOOK_MAX_BATCH_SIZE must be .* from 8454144 to/);
  });
});

test('WEBHOOK_ALLOWED_CIDRS and CORS_ORIGINS take what they are for', () => {
  const env = { WEBHOOK_ALLOWED_CIDRS: '10.0.0.0/8, fd00::/8', CORS_ORIGINS: 'https://a.example,http://localhost:3000' };
  const config = toConfig({ ...good, ...env });
  expect(config.egress.allowedCidrs).toEqual(['10.0.0.0/8', 'fd00::/8']);
  expect(config.corsOrigins).toEqual(['https://a.example', 'http://localhost:3000']);
  // A page's origin has no path, so this one would never match.
  expect(refusal({ CORS_ORIGINS: 'https://a.example/' })).toMatch(/^CORS_ORIGINS must be origins/);
});

test('what relaxes production is named, and by default nothing does', () => {
  const relaxed = {
    WEBHOOK_ALLOWED_CIDRS: '10.0.0.0/8',
    WEBHOOK_ALLOW_HTTP: 'true',
    CORS_ORIGINS: 'https://a.example,http://b.example',
    GRPC_REFLECTION: 'true',
  };
  expect(relaxedSettings(toConfig(good))).toEqual([]);
  expect(relaxedSettings(toConfig({ ...good, CORS_ORIGINS: 'https://a.example' }))).toEqual([]);
  expect(relaxedSettings(toConfig({ ...good, ...relaxed }))).toEqual(Object.keys(relaxed));
  expect(relaxedSettings(toConfig({ ...relaxed, ENVIRONMENT: 'development' }))).toEqual([]);
});

test('a variable with our prefix that no setting has is named, unless a cluster has set it for a Service', () => {
  const links = { WEBHOOK_SERVICE_SERVICE_HOST: '10.0.0.1', WEBHOOK_SERVICE_PORT_8080_TCP_ADDR: '10.0.0.1' };
  expect(toConfig({ ...good, ...links, WEBHOOK_TIMEOUT: '10' }).unknownVariables).toEqual([]);
  const mistyped = { WEBHOOK_MAX_RETRY: '3', WEBHOOK_TIMEOUTS: '' };
  expect(toConfig({ ...good, ...mistyped }).unknownVariables).toEqual(Object.keys(mistyped));
});

test('every variable with our prefix is known, whatever the others are', () => {
  const own = variables.filter((name) => name.startsWith('WEBHOOK_'));
  const blank = Object.fromEntries(own.map((name) => [name, '']));
  expect(own.length).toBeGreaterThan(10);
  expect(toConfig({ ...blank, ENVIRONMENT: 'development' }).unknownVariables).toEqual([]);
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

  test('may not be missing where the address of public keys is blank', () => {
    expect(refusal({ JWT_SECRET: '', JWT_JWKS_URL: ' ' })).toMatch(/^JWT_SECRET must be /);
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
    ['two keys of one id', `${good.WEBHOOK_SECRET_KEYS},${key(randomBytes(32))}`],
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

test.each([
  [/^DB_SSLROOTCERT needs DB_SSLMODE=verify-full/, { DB_SSLROOTCERT: 'ca.pem', DB_SSLMODE: 'require' }],
  [/^DB_SSLCERT needs DB_SSLMODE/, { DB_SSLCERT: 'cert.pem', DB_SSLKEY: 'key.pem' }],
  [/^DB_SSLCERT and DB_SSLKEY must be set together/, { DB_SSLCERT: 'cert.pem', DB_SSLMODE: 'require' }],
  [/need REDIS_TLS=true$/, { REDIS_HOST: 'redis', REDIS_TLS_CA_FILE: 'ca.pem' }],
  [
    /^REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE must/,
    { REDIS_HOST: 'redis', REDIS_TLS: 'true', REDIS_TLS_KEY_FILE: 'key.pem' },
  ],
])('certificates that would not be used are refused: %s', (sentence, env) => {
  expect(refusal(env)).toMatch(sentence);
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

test('development listens on this machine alone, unless configured otherwise', () => {
  expect(toConfig({}).host).toBe('127.0.0.1');
  expect(toConfig(good).host).toBe('0.0.0.0');
  expect(toConfig({ SERVER_HOST: '0.0.0.0' }).host).toBe('0.0.0.0');
});
