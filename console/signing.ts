// The signatures of the service, made and checked in the reader's own browser: a pasted secret goes nowhere.

const PREFIX = 'whsec_';
/** How far a receiver lets the clocks disagree. */
export const TOLERANCE_SECONDS = 300;

const utf8 = new TextEncoder();

/** Browsers offer cryptography only over https and on localhost. */
export function canSign(): boolean {
  return globalThis.isSecureContext && globalThis.crypto.subtle !== undefined;
}

/** The bytes behind `whsec_`; null for what is not a secret. */
export function secretBytes(secret: string): Uint8Array<ArrayBuffer> | null {
  if (!secret.startsWith(PREFIX)) return null;
  try {
    const bytes = Uint8Array.from(atob(secret.slice(PREFIX.length)), (character) => character.charCodeAt(0));
    return bytes.length >= 24 && bytes.length <= 64 ? bytes : null;
  } catch {
    return null;
  }
}

/** `v1,…`, as Standard Webhooks signs: the id, the timestamp and the body, with the decoded secret. */
export async function standardSignature(
  key: Uint8Array<ArrayBuffer>,
  id: string,
  timestamp: string,
  body: string,
): Promise<string> {
  const signature = await hmac(key, `${id}.${timestamp}.${body}`);
  return `v1,${btoa(String.fromCharCode(...signature))}`;
}

/** `sha256=…`, as the plain header carries it: the body alone, with the secret as it is shown. */
export async function plainSignature(secret: string, body: string): Promise<string> {
  const signature = await hmac(utf8.encode(secret), body);
  return `sha256=${Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

async function hmac(key: Uint8Array<ArrayBuffer>, text: string): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, utf8.encode(text)));
}
