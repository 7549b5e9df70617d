// How the schedule in Redis names and spreads things: ids without their kind, webhooks over shards, batches by webhook.

const WEBHOOK_PREFIX = 'webhook_';
const DELIVERY_PREFIX = 'delivery_';

// Sixteen bytes a waiting delivery are saved by leaving out what every member would begin with.
export const webhookKey = (webhookId: string): string => webhookId.slice(WEBHOOK_PREFIX.length);
export const deliveryKey = (deliveryId: string): string => deliveryId.slice(DELIVERY_PREFIX.length);
export const webhookIdOf = (key: string): string => WEBHOOK_PREFIX + key;
export const deliveryIdOf = (key: string): string => DELIVERY_PREFIX + key;

/** Which of `shards` a webhook belongs to (FNV-1a): the same in every process and every version. */
export function shardOf(webhookId: string, shards: number): number {
  if (shards === 1) return 0;
  let hash = 0x811c9dc5;
  for (let i = WEBHOOK_PREFIX.length; i < webhookId.length; i += 1) {
    hash = Math.imul(hash ^ webhookId.charCodeAt(i), 0x01000193) >>> 0;
  }
  return hash % shards;
}
