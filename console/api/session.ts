// Who is signed in: the token lives in this tab's session storage and nowhere else.
import { signal } from '@preact/signals';

export type ConsoleRole = 'developer' | 'service' | 'admin';

export interface Session {
  readonly token: string;
  readonly userId: string;
  readonly role: ConsoleRole;
  readonly expiresAtMs: number;
}

const KEY = 'homechef.token';

export const session = signal<Session | null>(restore());

/** Why the last session ended, to say so on the sign-in page. */
export const signedOutBecause = signal<'expired' | null>(null);

export function signIn(token: string): Session | null {
  const next = readToken(token.trim());
  if (next === null) return null;
  sessionStorage.setItem(KEY, next.token);
  signedOutBecause.value = null;
  session.value = next;
  return next;
}

export function signOut(reason: 'expired' | null = null): void {
  sessionStorage.removeItem(KEY);
  signedOutBecause.value = reason;
  session.value = null;
}

/** Whether they see other people's webhooks too. */
export function seesEverybody(): boolean {
  return session.value !== null && session.value.role !== 'developer';
}

/** Reads the claims to show them. The service is what verifies them, at every call. */
export function readToken(token: string): Session | null {
  const parts = token.split('.');
  if (parts.length !== 3) return null;
  try {
    const text = atob((parts[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== 'object' || claims === null) return null;
    const { sub, role, exp } = claims as Record<string, unknown>;
    if (typeof sub !== 'string' || typeof exp !== 'number') return null;
    if (role !== 'developer' && role !== 'service' && role !== 'admin') return null;
    return { token, userId: sub, role, expiresAtMs: exp * 1000 };
  } catch {
    return null;
  }
}

function restore(): Session | null {
  const token = sessionStorage.getItem(KEY);
  const found = token === null ? null : readToken(token);
  return found !== null && found.expiresAtMs > Date.now() ? found : null;
}
