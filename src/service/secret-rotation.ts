// The rules of a rotation: which secrets sign, until when, and which of them the HomeChef header is made with.
import type { PreviousSecret, WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { MAX_SIGNATURES } from '../security/signature.ts';

type Secrets = Pick<WebhookEndpoint, 'secret' | 'previousSecrets'>;

/** Those that still sign, newest first. */
export function unexpired(previous: readonly PreviousSecret[], nowMs: number): PreviousSecret[] {
  return previous.filter((secret) => Date.parse(secret.expires_at) > nowMs);
}

/** When the newest secret signs alone; null when it does already. */
export function rotationEndsAt({ previousSecrets }: Pick<Secrets, 'previousSecrets'>, nowMs: number): Date | null {
  const ends = unexpired(previousSecrets, nowMs).map((secret) => Date.parse(secret.expires_at));
  return ends.length === 0 ? null : new Date(Math.max(...ends));
}

/**
 * What has been signing once the newest is replaced; with no overlap nothing. Of more than one header carries, the oldest stays, since the
 * HomeChef header is made with it, and the second oldest goes early.
 */
export function replaced({ secret, previousSecrets }: Secrets, overlapMs: number, nowMs: number): PreviousSecret[] {
  if (overlapMs === 0) return [];
  const newest: PreviousSecret = { sealed: secret, expires_at: new Date(nowMs + overlapMs).toISOString(), signs_header: true };
  const signing = [newest, ...unexpired(previousSecrets, nowMs)];
  const surplus = Math.max(0, signing.length - (MAX_SIGNATURES - 1));
  return signing.toSpliced(signing.length - 1 - surplus, surplus);
}
