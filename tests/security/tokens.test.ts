// Tokens: a good one says who calls, and a hostile one says nothing.
import { generateKeyPairSync, createHmac, sign as signBytes, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { TokenConfig } from '../../src/config.ts';
import { ServiceError } from '../../src/domain/errors.ts';
import { mintToken, TokenVerifier } from '../../src/security/tokens.ts';

const config: TokenConfig = {
  secret: 'a secret of more than thirty-two bytes, for tests',
  expirationSeconds: 3600,
  issuer: 'https://id.homechef.example',
  audience: 'webhooks',
  jwksUrl: null,
};

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const now = nowSeconds();
  return { sub: 'user123', role: 'developer', iat: now, exp: now + 3600, iss: config.issuer, aud: config.audience, ...changes };
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** A token made by hand, so that nothing in it is put right. `payload` may be JSON text. */
function token(
  payload: unknown = claims(),
  header: unknown = { alg: 'HS256', typ: 'JWT' },
  hash = 'sha256',
  secret = config.secret,
): string {
  const signed = `${encode(header)}.${encode(payload)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

async function verify(text: string, verifier = new TokenVerifier(config)): Promise<unknown> {
  try {
    return await verifier.verify(`Bearer ${text}`);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return `${error.code} ${error.reason}`;
  }
}

const REFUSED = 'unauthenticated token_invalid';

describe('a good token', () => {
  it('says who calls, in which role, until when', async () => {
    const payload = claims();
    expect(await verify(token(payload))).toEqual({
      userId: 'user123',
      role: 'developer',
      expiresAtMs: Number(payload['exp']) * 1000,
    });
  });

  it.each(['developer', 'service', 'admin'] as const)('minted here for a %s is one', async (role) => {
    expect(await verify(await mintToken(config, { user: 'user123', role, expiresInSeconds: 60 }))).toMatchObject({
      userId: 'user123',
      role,
    });
    const open = { ...config, issuer: null, audience: null };
    expect(await verify(await mintToken(open, { user: 'user123', role }), new TokenVerifier(open))).toMatchObject({ role });
    expect(await verify(await mintToken(open, { user: 'user123', role })), 'without issuer and audience').toBe(REFUSED);
  });

  it.each<[string, Record<string, unknown>]>([
    ['a list of audiences', { aud: ['other', 'webhooks'] }],
    ['the longest user id', { sub: 'u'.repeat(255) }],
    ['clocks that differ by less than half a minute', { iat: nowSeconds() + 20 }],
    ['an end within the leeway', { iat: nowSeconds() - 100, exp: nowSeconds() - 20 }],
    ['a whole day', { iat: nowSeconds(), exp: nowSeconds() + 86_400 }],
    ['claims of no interest', { jti: 'x', admin: true, scope: 'everything' }],
  ])('may have %s', async (_, changes) => {
    expect(await verify(token(claims(changes)))).toMatchObject({ role: 'developer' });
  });

  it.each(['Bearer', 'bearer', 'BEARER', 'Bearer  '])('is read from an Authorization header that says %j', async (scheme) => {
    expect(await new TokenVerifier(config).verify(`${scheme} ${token()}`)).toMatchObject({ userId: 'user123' });
  });
});

describe('no token', () => {
  it.each([null, '', 'Basic dXNlcjpwdw==', 'Bearer', 'Bearer ', `Token ${'x'.repeat(10)}`, `Bearer:${'x'.repeat(10)}`])(
    'is what %j carries',
    async (header) => {
      await expect(new TokenVerifier(config).verify(header)).rejects.toMatchObject({
        code: 'unauthenticated',
        reason: 'token_missing',
      });
    },
  );
});

describe('a hostile token', () => {
  const now = nowSeconds();
  const without = (name: string) => Object.fromEntries(Object.entries(claims()).filter(([key]) => key !== name));
  const withText = (name: string, text: string) => JSON.stringify(claims({ [name]: '@' })).replace('"@"', text);
  const key = encode(config.secret);

  it.each<[string, string]>([
    ['without a signature', `${encode({ alg: 'none' })}.${encode(claims())}.`],
    ['of algorithm none, signed', token(claims(), { alg: 'none' })],
    ['of algorithm None', token(claims(), { alg: 'None' })],
    ['without algorithm', token(claims(), { typ: 'JWT' })],
    ['of HS384', token(claims(), { alg: 'HS384' }, 'sha384')],
    ['of HS512', token(claims(), { alg: 'HS512' }, 'sha512')],
    ['of hs256 in lower case', token(claims(), { alg: 'hs256' })],
    ['of RS256, signed with the secret', token(claims(), { alg: 'RS256' })],
    ['of an algorithm that is a list', token(claims(), { alg: ['HS256'] })],
    ['signed with another secret', token(claims(), { alg: 'HS256' }, 'sha256', 'another secret')],
    ['signed with nothing', token(claims(), { alg: 'HS256' }, 'sha256', '')],
    ['with a changed payload', token().replace(/\.[^.]+\./, `.${encode(claims({ role: 'admin' }))}.`)],
    ['with a signature cut short', token().slice(0, -4)],
    ['with a critical header', token(claims(), { alg: 'HS256', crit: ['exp'] })],
    ['with an unknown critical header', token(claims(), { alg: 'HS256', crit: ['x'], x: 1 })],
    ['unencoded', token(claims(), { alg: 'HS256', crit: ['b64'], b64: false })],
    ['with a key URL', token(claims(), { alg: 'HS256', jku: 'http://127.0.0.1:1/keys' })],
    ['with its own key', token(claims(), { alg: 'HS256', jwk: { kty: 'oct', k: key } })],
    ['with a certificate URL', token(claims(), { alg: 'HS256', x5u: 'http://127.0.0.1:1/cert' })],
    ['with its own certificate', token(claims(), { alg: 'HS256', x5c: ['AAAA'] })],
    ['that is compressed', token(claims(), { alg: 'HS256', zip: 'DEF' })],
    ['of another type', token(claims(), { alg: 'HS256', typ: 'dpop+jwt' })],
    ['of a type that is a number', token(claims(), { alg: 'HS256', typ: 5 })],
    ['without end', token(without('exp'))],
    ['without issue time', token(without('iat'))],
    ['without user', token(without('sub'))],
    ['without role', token(without('role'))],
    ['without issuer', token(without('iss'))],
    ['without audience', token(without('aud'))],
    ['that has ended', token(claims({ iat: now - 3600, exp: now - 31 }))],
    ['that ends at 1e400', token(withText('exp', '1e400'))],
    ['that ends at -1', token(claims({ exp: -1 }))],
    ['that ends at a text', token(claims({ exp: String(now + 3600) }))],
    ['that ends at null', token(claims({ exp: null }))],
    ['issued in the future', token(claims({ iat: now + 60, exp: now + 120 }))],
    ['issued at 1e400', token(withText('iat', '1e400'))],
    ['issued at a text', token(claims({ iat: 'now' }))],
    ['issued at null', token(claims({ iat: null }))],
    ['issued after its end', token(claims({ iat: now + 20, exp: now + 10 }))],
    ['that is not valid yet', token(claims({ nbf: now + 60 }))],
    ['valid from a text', token(claims({ nbf: 'now' }))],
    ['that lives a second too long', token(claims({ exp: now + 86_402 }))],
    ['of an empty user', token(claims({ sub: '' }))],
    ['of a user too long', token(claims({ sub: 'u'.repeat(256) }))],
    ['of a user that is a number', token(claims({ sub: 5 }))],
    ['of a user that is an object', token(claims({ sub: { $gt: '' } }))],
    ['of a user that is a list', token(claims({ sub: ['user123'] }))],
    ['of a user with NUL', token(claims({ sub: 'user\0' }))],
    ['of a user with a line break', token(claims({ sub: 'user\n123' }))],
    ['of a user whose name is turned round', token(claims({ sub: 'user\u202e321' }))],
    ['of a user with a zero-width space', token(claims({ sub: 'user\u200b123' }))],
    ['of a user with a byte order mark', token(claims({ sub: '\ufeffuser123' }))],
    ['of a user with a soft hyphen', token(claims({ sub: 'user\u00ad123' }))],
    ['of a user with a line separator', token(claims({ sub: 'user\u2028123' }))],
    ['of a user with a tag character', token(claims({ sub: 'user\u{e0041}' }))],
    ['of an unknown role', token(claims({ role: 'root' }))],
    ['of a role in capitals', token(claims({ role: 'ADMIN' }))],
    ['of a list of roles', token(claims({ role: ['admin'] }))],
    ['of a role from the prototype', token(claims({ role: 'constructor' }))],
    ['of another issuer', token(claims({ iss: 'https://evil.example' }))],
    ['of a list of issuers', token(claims({ iss: [config.issuer] }))],
    ['of another audience', token(claims({ aud: 'billing' }))],
    ['of an audience that is an object', token(claims({ aud: { 0: 'webhooks' } }))],
    ['whose payload is a list', token([claims()])],
    ['whose payload is null', token('null')],
    ['whose payload is no JSON', token('{')],
    ['whose header is no JSON', token(claims(), '{')],
    ['whose header is null', token(claims(), 'null')],
    ['that is not UTF-8', `${encode({ alg: 'HS256' })}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.AAAA`],
    ['of two parts', 'a.b'],
    ['of five parts (encrypted)', 'a.b.c.d.e'],
    ['with spaces', `${token()} x`],
    ['in padded base64', token().replace(/^([^.]+)/, '$1==')],
    ['too long', token(claims({ jti: 'x'.repeat(8192) }))],
    ['that is only dots', '..'],
  ])('%s is refused', async (_, text) => {
    expect(await verify(text)).toBe(REFUSED);
  });

  it('is refused without repeating it or what it claims', async () => {
    const text = token(claims({ sub: 'secret-user', role: 'secret-role' }));
    const error: unknown = await new TokenVerifier(config).verify(`Bearer ${text}`).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ServiceError);
    expect(String(error)).not.toMatch(/secret-|eyJ/);
  });
});

describe('a verified token', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => void vi.useRealTimers());

  it('is recalled for a minute', async () => {
    const verifier = new TokenVerifier(config);
    const header = `Bearer ${token()}`;
    expect(verifier.recall(header)).toBeNull();
    const principal = await verifier.verify(header);
    vi.setSystemTime(Date.now() + 59_000);
    expect(verifier.recall(header)).toBe(principal);
    expect(verifier.recall(`${header}x`)).toBeNull();
    expect(verifier.recall(null)).toBeNull();
    vi.setSystemTime(Date.now() + 2000);
    expect(verifier.recall(header)).toBeNull();
  });

  it('is not believed beyond its end', async () => {
    const verifier = new TokenVerifier(config);
    const header = `Bearer ${token(claims({ exp: nowSeconds() + 20 }))}`;
    await verifier.verify(header);
    vi.setSystemTime(Date.now() + 49_000);
    expect(verifier.recall(header)).toMatchObject({ userId: 'user123' });
    await expect(verifier.verify(header)).resolves.toMatchObject({ userId: 'user123' });
    vi.setSystemTime(Date.now() + 3000);
    expect(verifier.recall(header)).toBeNull();
    await expect(verifier.verify(header)).rejects.toMatchObject({ reason: 'token_invalid' });
  });

  it('is remembered once, however its header is spelt', async () => {
    const verifier = new TokenVerifier(config);
    const text = token();
    const spellings = ['Bearer ', 'bearer ', 'BEARER ', ...Array.from({ length: 50 }, (_, n) => `Bearer${' '.repeat(n + 1)}`)];
    for (const spelling of spellings) await verifier.verify(spelling + text);
    expect(verifier.remembered).toBe(1);
    for (const spelling of spellings) expect(verifier.recall(spelling + text)).toMatchObject({ userId: 'user123' });
  });

  it('that is refused is never recalled', async () => {
    const verifier = new TokenVerifier(config);
    const header = `Bearer ${token(claims({ role: 'nobody' }))}`;
    await expect(verifier.verify(header)).rejects.toMatchObject({ reason: 'token_invalid' });
    expect(verifier.recall(header)).toBeNull();
  });

  it('is remembered among at most ten thousand, of which the one used least recently goes', async () => {
    const verifier = new TokenVerifier(config);
    const headers = Array.from({ length: 10_001 }, (_, jti) => `Bearer ${token(claims({ jti }))}`);
    for (const header of headers.slice(0, 10_000)) await verifier.verify(header);
    expect(verifier.recall(headers[0] ?? '')).not.toBeNull();
    await verifier.verify(headers[10_000] ?? '');
    expect(verifier.remembered).toBe(10_000);
    expect(verifier.recall(headers[0] ?? '')).not.toBeNull();
    expect(verifier.recall(headers[1] ?? '')).toBeNull();
  });
});

describe('a key set by URL', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519');
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });

  function signed(alg: string, kid: string | undefined, privateKey: KeyObject, payload = claims()): string {
    const text = `${encode({ alg, ...(kid === undefined ? {} : { kid }) })}.${encode(payload)}`;
    const hash = alg === 'EdDSA' || alg === 'Ed25519' ? null : 'sha256';
    return `${text}.${signBytes(hash, Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  async function keyServer(keys: () => object[]): Promise<{ verifier: TokenVerifier; fetches: () => number; url: string }> {
    let fetches = 0;
    const server = createServer((_, response) => {
      fetches += 1;
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: keys() }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/jwks.json`;
    return { verifier: new TokenVerifier({ ...config, secret: '', jwksUrl: url }), fetches: () => fetches, url };
  }

  const jwk = (key: KeyObject, kid: string, alg: string) => ({ ...key.export({ format: 'jwk' }), kid, alg, use: 'sig' });

  it('verifies RS256, ES256 and EdDSA, fetching it once', async () => {
    const { verifier, fetches } = await keyServer(() => [
      jwk(rsa.publicKey, 'r', 'RS256'),
      jwk(ec.publicKey, 'e', 'ES256'),
      jwk(ed.publicKey, 'd', 'EdDSA'),
    ]);
    expect(await verify(signed('RS256', 'r', rsa.privateKey), verifier)).toMatchObject({ userId: 'user123' });
    expect(await verify(signed('ES256', 'e', ec.privateKey), verifier)).toMatchObject({ userId: 'user123' });
    expect(await verify(signed('EdDSA', 'd', ed.privateKey), verifier)).toMatchObject({ userId: 'user123' });
    expect(fetches()).toBe(1);
  });

  it('refuses a token signed with a public key taken for a secret, by another key, or by HS256', async () => {
    const { verifier, url } = await keyServer(() => [jwk(rsa.publicKey, 'r', 'RS256')]);
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const both = new TokenVerifier({ ...config, jwksUrl: url });
    for (const by of [verifier, both]) {
      expect(await verify(token(claims(), { alg: 'HS256', kid: 'r' }, 'sha256', pem), by)).toBe(REFUSED);
      expect(await verify(signed('RS256', 'r', other.privateKey), by)).toBe(REFUSED);
      expect(await verify(signed('PS256', 'r', rsa.privateKey), by)).toBe(REFUSED);
      expect(await verify(signed('ES256', 'r', ec.privateKey), by)).toBe(REFUSED);
    }
    expect(await verify(token(), verifier), 'no secret configured').toBe(REFUSED);
    expect(await verify(signed('RS256', 'r', rsa.privateKey), both)).toMatchObject({ userId: 'user123' });
    expect(await verify(token(), both), 'secret configured too').toMatchObject({ userId: 'user123' });
  });

  it('holds every claim to the same rules', async () => {
    const { verifier } = await keyServer(() => [jwk(ed.publicKey, 'd', 'EdDSA')]);
    for (const changes of [{ role: 'root' }, { exp: nowSeconds() + 90_000 }, { iss: 'x' }, { aud: 'x' }, { sub: 5 }]) {
      expect(await verify(signed('EdDSA', 'd', ed.privateKey, claims(changes)), verifier)).toBe(REFUSED);
    }
  });

  it('is fetched again for a key it lacked, once the pause between fetches is over', async () => {
    let keys = [jwk(ed.publicKey, 'old', 'EdDSA')];
    const { verifier, fetches } = await keyServer(() => keys);
    expect(await verify(signed('EdDSA', 'old', ed.privateKey), verifier)).toMatchObject({ userId: 'user123' });
    const next = generateKeyPairSync('ed25519');
    keys = [jwk(next.publicKey, 'new', 'EdDSA')];
    expect(await verify(signed('EdDSA', 'new', next.privateKey), verifier)).toBe(REFUSED);
    expect(fetches()).toBe(1);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 });
    closers.push(() => vi.useRealTimers());
    expect(await verify(signed('EdDSA', 'new', next.privateKey), verifier)).toMatchObject({ userId: 'user123' });
    expect(fetches()).toBe(2);
  });

  it('that cannot be fetched leaves open whether a token is good', async () => {
    const verifier = new TokenVerifier({ ...config, secret: '', jwksUrl: 'http://127.0.0.1:1/jwks.json' });
    expect(await verify(signed('EdDSA', 'd', ed.privateKey), verifier)).toBe('unavailable keys_unavailable');
  });
});
