// A secret that the service has just shown, kept until its reader says it is stored. It never leaves this page's memory.
import { signal } from '@preact/signals';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';

export interface FreshSecret {
  readonly webhookId: string;
  readonly secret: string;
  readonly from: 'created' | 'rotated' | 'shown';
}

export const freshSecret = signal<FreshSecret | null>(null);

export function keepSecret(webhook: Webhook, from: FreshSecret['from']): void {
  if (webhook.secret !== undefined) freshSecret.value = { webhookId: webhook.id, secret: webhook.secret, from };
}

/** A secret that its owner asked to see again. */
export function showSecret(webhookId: string, secret: string): void {
  freshSecret.value = { webhookId, secret, from: 'shown' };
}

export function dropSecret(): void {
  freshSecret.value = null;
}
