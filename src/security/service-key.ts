// A key pair of the service: made, sealed and opened, and as others read its public half.
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { newId } from '../domain/ids.ts';
import type { SecretBox } from './secret-box.ts';

const PUBLIC_PREFIX = 'whpk_';

export interface SealedServiceKey {
  readonly id: string;
  /** 32 bytes in base64. */
  readonly publicKey: string;
  readonly sealedPrivateKey: string;
}

/** A new Ed25519 key pair. Its private half is never seen unsealed outside the process that signs. */
export function newServiceKey(box: SecretBox, nowMs: number): SealedServiceKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const id = newId('key', nowMs);
  const { x = '' } = publicKey.export({ format: 'jwk' });
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  return {
    id,
    publicKey: Buffer.from(x, 'base64url').toString('base64'),
    sealedPrivateKey: box.seal('service_key', { serviceKeyId: id }, pkcs8.toString('base64')),
  };
}

/** Throws SecretUnreadable. */
export function openServiceKey(box: SecretBox, { id, sealedPrivateKey }: Omit<SealedServiceKey, 'publicKey'>): KeyObject {
  const pkcs8 = box.open('service_key', { serviceKeyId: id }, sealedPrivateKey);
  return createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' });
}

/** As Standard Webhooks writes a public key: `whpk_` and base64. */
export function standardPublicKey({ publicKey }: Pick<SealedServiceKey, 'publicKey'>): string {
  return PUBLIC_PREFIX + publicKey;
}

/** The JSON Web Key (RFC 8037) of the public half. */
export function publicJwk({ id, publicKey }: Pick<SealedServiceKey, 'id' | 'publicKey'>): Readonly<Record<string, string>> {
  const x = Buffer.from(publicKey, 'base64').toString('base64url');
  return { kty: 'OKP', crv: 'Ed25519', x, kid: id, use: 'sig', alg: 'EdDSA' };
}

/** The `v1a` signature of Standard Webhooks. */
export function signEd25519(key: KeyObject, prefix: string, body: Buffer): string {
  return sign(null, Buffer.concat([Buffer.from(prefix), body]), key).toString('base64');
}
