// Bad tokens: they cost their sender time, and other callers nothing.
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { GuardedTokens, MAX_FAILURES } from '../../src/security/failed-tokens.ts';
import { mintToken, TokenVerifier } from '../../src/security/tokens.ts';

const { tokens: config } = toConfig({ ENVIRONMENT: 'test' });
/** Longer than a test may take: an answer that is held back does not come. */
const FOR_EVER_MS = 2 ** 30;
const ADDRESS = '192.0.2.7';
const FORGED = 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA';

const refused = (guarded: GuardedTokens, header: string, address = ADDRESS): Promise<string> =>
  guarded.verify(header, address).then(
    () => 'verified',
    (error: { reason: string }) => error.reason,
  );

async function attacked(lateMs: number): Promise<GuardedTokens> {
  const guarded = new GuardedTokens(new TokenVerifier(config), { lateMs });
  for (let i = 0; i < MAX_FAILURES; i += 1) expect(await refused(guarded, FORGED)).toBe('token_invalid');
  return guarded;
}

/** Whether a promise is still pending after everything that is ready has run. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 50, pending))])) === pending;
}

function token(claims: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ alg: 'HS256' })}.${encode(claims)}`;
  return `Bearer ${signed}.${createHmac('sha256', config.secret).update(signed).digest('base64url')}`;
}

test('a good token is taken at once, whatever others at its address did', async () => {
  const guarded = await attacked(FOR_EVER_MS);
  void refused(guarded, FORGED);
  const good = `Bearer ${await mintToken(config, { user: 'orders', role: 'service' })}`;
  expect(await guarded.verify(good, ADDRESS)).toMatchObject({ userId: 'orders' });
});

test('a caller that keeps sending forged tokens gets late replies, others at once', async () => {
  const guarded = await attacked(FOR_EVER_MS);
  expect(await isPending(refused(guarded, FORGED))).toBe(true);
  expect(await refused(guarded, FORGED, '192.0.2.8')).toBe('token_invalid');
  const slow = await attacked(20);
  expect(await refused(slow, FORGED)).toBe('token_invalid');
});

test('no more answers are held back than may be: the rest come at once', async () => {
  const guarded = await attacked(FOR_EVER_MS);
  for (let i = 0; i < 64; i += 1) void refused(guarded, FORGED);
  expect(await refused(guarded, FORGED)).toBe('token_invalid');
});

test('a token that was signed and has ended, or is for another service, is no attack', async () => {
  const guarded = new GuardedTokens(new TokenVerifier({ ...config, audience: 'webhooks' }), { lateMs: FOR_EVER_MS });
  const now = Math.floor(Date.now() / 1000);
  const ended = token({ sub: 'orders', role: 'service', aud: 'webhooks', iat: now - 7200, exp: now - 3600 });
  const another = token({ sub: 'orders', role: 'service', aud: 'billing', iat: now, exp: now + 60 });
  for (let i = 0; i < MAX_FAILURES; i += 1) {
    expect(await refused(guarded, ended)).toBe('token_invalid');
    expect(await refused(guarded, another)).toBe('token_invalid');
  }
  expect(await refused(guarded, FORGED)).toBe('token_invalid');
});

test('one address of IPv6 stands for its whole network', async () => {
  const guarded = new GuardedTokens(new TokenVerifier(config), { lateMs: FOR_EVER_MS });
  for (let i = 0; i < MAX_FAILURES; i += 1) await refused(guarded, FORGED, `2001:db8:1:2::${i.toString(16)}`);
  expect(await isPending(refused(guarded, FORGED, '2001:db8:1:2:ffff::1'))).toBe(true);
  expect(await refused(guarded, FORGED, '2001:db8:1:3::1')).toBe('token_invalid');
});
