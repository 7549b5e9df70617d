// The secret box: what it seals only it opens, for the same purpose and owner, and damage is a refusal.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, property, string } from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { loadOrCreateKeys, SecretBox, SecretUnreadable } from '../../src/security/secret-box.ts';
import { newSecret } from '../../src/security/signature.ts';

const owner = { userId: 'user123', webhookId: 'webhook_01hzy3m7q8k9n2p4r5s6t7v8wa' };

function key(id: string): string {
  return `${id}:${randomBytes(32).toString('base64')}`;
}

function whyUnreadable(open: () => unknown): string {
  try {
    open();
  } catch (error) {
    if (error instanceof SecretUnreadable) return error.why;
    throw error;
  }
  return 'opened';
}

describe('a sealed secret', () => {
  const box = new SecretBox([key('2025-01')]);

  it('opens to what was sealed', () => {
    assert(
      property(string({ unit: 'binary' }), (plaintext) => {
        const wellFormed = plaintext.toWellFormed();
        expect(box.open('custom_headers', owner, box.seal('custom_headers', owner, wellFormed))).toBe(wellFormed);
      }),
    );
  });

  it('fits its column with the longest key id and secret', () => {
    const longest = `whsec_${randomBytes(64).toString('base64')}`;
    expect(new SecretBox([key('k'.repeat(32))]).seal('signing_secret', owner, longest).length).toBeLessThanOrEqual(255);
  });

  it('is another text each time, and never holds the secret', () => {
    const secret = newSecret();
    const texts = Array.from({ length: 100 }, () => box.seal('signing_secret', owner, secret));
    expect(new Set(texts).size).toBe(100);
    expect(texts.join()).not.toContain(secret.slice(6, 20));
  });

  it.each([
    ['purpose', 'custom_headers', owner],
    ['user', 'signing_secret', { ...owner, userId: 'user124' }],
    ['webhook', 'signing_secret', { ...owner, webhookId: 'webhook_01hzy3m7q8k9n2p4r5s6t7v8wb' }],
  ] as const)('does not open for another %s', (_, purpose, other) => {
    const text = box.seal('signing_secret', owner, newSecret());
    expect(whyUnreadable(() => box.open(purpose, other, text))).toBe('not_authentic');
  });

  it('does not open when user and webhook are divided differently', () => {
    const text = box.seal('signing_secret', { userId: 'ab', webhookId: 'c' }, newSecret());
    expect(whyUnreadable(() => box.open('signing_secret', { userId: 'a', webhookId: 'bc' }, text))).toBe('not_authentic');
  });

  it('does not open after the change of any single character', () => {
    const text = box.seal('signing_secret', owner, newSecret());
    for (let i = 0; i < text.length; i += 1) {
      const changed = text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1);
      expect(
        whyUnreadable(() => box.open('signing_secret', owner, changed)),
        `character ${i}`,
      ).not.toBe('opened');
    }
  });

  it('does not open when cut at any length, lengthened, or given a shorter tag', () => {
    const text = box.seal('signing_secret', owner, newSecret());
    for (let i = 0; i < text.length; i += 1) {
      expect(
        whyUnreadable(() => box.open('signing_secret', owner, text.slice(0, i))),
        `cut to ${i}`,
      ).not.toBe('opened');
    }
    expect(whyUnreadable(() => box.open('signing_secret', owner, `${text}AAAA`))).toBe('not_authentic');
    expect(whyUnreadable(() => box.open('signing_secret', owner, `${text}=`))).toBe('malformed');
    expect(whyUnreadable(() => box.open('signing_secret', owner, `${text}:x`))).toBe('malformed');
  });

  it.each(['', 'x', 'whsec_plain', 'v2:2025-01:AAAA', 'v1:2025-01:', 'v1:2025-01:!!!!', 'v1::AAAA', '{"$gt":0}'])(
    'is not %j, which is refused',
    (text) => {
      expect(whyUnreadable(() => box.open('signing_secret', owner, text))).not.toBe('opened');
    },
  );

  it('reports a refusal without the text, the plaintext or the key', () => {
    const secret = newSecret();
    const text = box.seal('signing_secret', owner, secret);
    let shown = '';
    try {
      box.open('custom_headers', owner, text);
    } catch (error) {
      shown = `${String(error)} ${JSON.stringify(error)} ${error instanceof Error ? String(error.cause) : ''}`;
    }
    expect(shown).toContain('not_authentic');
    expect(shown).not.toContain(secret);
    expect(shown).not.toContain(text.slice(12, 30));
  });
});

describe('rotation of keys', () => {
  const [first, second] = [key('first'), key('second')];

  it('opens texts of every key held, seals under the newest, and says which texts are old', () => {
    const text = new SecretBox([first]).seal('signing_secret', owner, 'secret');
    const rotated = new SecretBox([second, first]);
    expect(rotated.open('signing_secret', owner, text)).toBe('secret');
    expect(rotated.needsReseal(text)).toBe(true);
    const resealed = rotated.seal('signing_secret', owner, 'secret');
    expect(rotated.needsReseal(resealed)).toBe(false);
    expect(new SecretBox([second]).open('signing_secret', owner, resealed)).toBe('secret');
  });

  it('says so when the key of a text is no longer held', () => {
    const text = new SecretBox([first]).seal('signing_secret', owner, 'secret');
    expect(whyUnreadable(() => new SecretBox([second]).open('signing_secret', owner, text))).toBe('key_unknown');
  });

  it('does not open a text whose key id was rewritten to another key', () => {
    const text = new SecretBox([first]).seal('signing_secret', owner, 'secret').replace('first', 'second');
    expect(whyUnreadable(() => new SecretBox([second, first]).open('signing_secret', owner, text))).toBe('not_authentic');
  });

  it.each([[[]], [['short:AAAA']], [['no-colon']], [[`bad id:${Buffer.alloc(32).toString('base64')}`]]])(
    'refuses the keys %j',
    (keys) => {
      expect(() => new SecretBox(keys)).toThrow(RangeError);
    },
  );
});

describe('the key made in development', () => {
  const directories: string[] = [];
  afterEach(() => {
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });

  it('is made once, readable by its owner only, and the same for every process', () => {
    const parent = mkdtempSync(join(tmpdir(), 'keys-'));
    directories.push(parent);
    const dataDir = join(parent, 'deeper');
    const keys = loadOrCreateKeys({ secretKeys: [], dataDir });
    expect(loadOrCreateKeys({ secretKeys: [], dataDir })).toEqual(keys);
    expect(new SecretBox(keys).open('signing_secret', owner, new SecretBox(keys).seal('signing_secret', owner, 'x'))).toBe('x');
    const [file, ...others] = readdirSync(dataDir);
    expect(others).toEqual([]);
    const path = join(dataDir, file ?? '');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'utf8')).toContain(keys[0]);
  });

  it('is not made when keys are configured', () => {
    const configured = [key('configured')];
    expect(loadOrCreateKeys({ secretKeys: configured, dataDir: '/nowhere/to/be/found' })).toEqual(configured);
  });
});
