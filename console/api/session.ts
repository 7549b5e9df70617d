// Who is signed in, in all tabs of a browser. The token is in a cookie that no script reads: here is only whose it is, and until when.
import { signal } from '@preact/signals';

export type ConsoleRole = 'developer' | 'service' | 'admin';

export interface Session {
  readonly userId: string;
  readonly role: ConsoleRole;
  readonly expiresAtMs: number;
}

const PATH = '/console/session';
/** In local storage, which tabs share: a session, or that it has ended by itself. Nothing is there after a sign-out. */
const KEY = 'homechef.session';
const ENDED = 'ended';
/** ms. The longest that a timer of a browser waits. */
const MAX_TIMER_MS = 2_147_483_647;

/** What the console sends with every request; no other site's page can. */
export const consoleHeaders = { 'X-HomeChef-Console': '1' } as const;

export const session = signal<Session | null>(sessionIn(localStorage.getItem(KEY)));

/** Whether the session has ended by itself: the page stays as it is, and a sign-in goes on with it. */
export const hasEnded = signal(false);

/** Why the last session ended, to say so on the sign-in page. */
export const signedOutBecause = signal<'expired' | null>(
  localStorage.getItem(KEY) === null || session.peek() ? null : 'expired',
);

/** Grows with every sign-in: what could not be read before is read again. */
export const signIns = signal(0);

/** Resolves to what is wrong with the token, or null once it is signed in. */
export async function signIn(token: string): Promise<string | null> {
  const reply = await request('POST', JSON.stringify({ token: token.trim() }));
  const body = (await reply.json()) as Record<string, unknown> & { error?: { message?: string } };
  if (!reply.ok) return body.error?.message ?? 'The service refused this token.';
  const { user_id: userId, role, expires_at: expiresAt } = body;
  const stored = JSON.stringify({ userId, role, expiresAtMs: Date.parse(String(expiresAt)) });
  localStorage.setItem(KEY, stored);
  adopt(stored);
  return null;
}

export function signOut(): void {
  localStorage.removeItem(KEY);
  adopt(null);
  // What fails here has no session any more either, or cannot be reached: the cookie ends with its token.
  request('DELETE').catch(() => {});
}

/** The service does not take the session any more, or its time is over. */
export function endSession(): void {
  localStorage.setItem(KEY, ENDED);
  adopt(ENDED);
}

/** Whether they see other people's webhooks too. */
export function seesEverybody(): boolean {
  return session.value !== null && session.value.role !== 'developer';
}

/** Other tabs sign in and out for this one too, and time ends every session. */
export function followSession(): void {
  addEventListener('storage', ({ key, newValue }) => {
    if (key === KEY || key === null) adopt(newValue);
  });
  let timer: ReturnType<typeof setTimeout>;
  session.subscribe((current) => {
    clearTimeout(timer);
    if (current === null) return;
    const leftMs = Math.max(0, current.expiresAtMs - Date.now());
    timer = setTimeout(endSession, Math.min(leftMs, MAX_TIMER_MS));
  });
}

function adopt(stored: string | null): void {
  const next = sessionIn(stored);
  if (next !== null) {
    session.value = next;
    hasEnded.value = false;
    signedOutBecause.value = null;
    signIns.value += 1;
  } else if (stored === null) {
    session.value = null;
    hasEnded.value = false;
    signedOutBecause.value = null;
  } else {
    hasEnded.value = session.peek() !== null;
  }
}

function sessionIn(stored: string | null): Session | null {
  if (stored === null || stored === ENDED) return null;
  try {
    const { userId, role, expiresAtMs } = JSON.parse(stored) as Partial<Session>;
    if (typeof userId !== 'string' || typeof expiresAtMs !== 'number' || expiresAtMs <= Date.now()) return null;
    if (role !== 'developer' && role !== 'service' && role !== 'admin') return null;
    return { userId, role, expiresAtMs };
  } catch {
    return null;
  }
}

function request(method: 'POST' | 'DELETE', body?: string): Promise<Response> {
  const headers = { ...consoleHeaders, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
  return fetch(PATH, { method, headers, ...(body === undefined ? {} : { body }) });
}
