// A secret that the service has just shown, kept until its reader says it is stored. It never leaves this page's memory.
import { signal } from '@preact/signals';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';

export interface FreshSecret {
  readonly webhookId: string;
  readonly secret: string;
  readonly from: 'created' | 'rotated';
}

export const freshSecret = signal<FreshSecret | null>(null);

export function keepSecret(webhook: Webhook, from: FreshSecret['from']): void {
  if (webhook.secret !== undefined) freshSecret.value = { webhookId: webhook.id, secret: webhook.secret, from };
}

export function dropSecret(): void {
  freshSecret.value = null;
}
