// The status bus: what one part of the service tells the others at once, in this process and in every other.
import type { LongRunning } from '../lifecycle/long-running.ts';
import type { StatusUpdate } from './status-update.ts';

/** Something a webhook's owner should know about at once. */
export interface OwnerNotice {
  readonly type: 'webhook_disabled';
  readonly userId: string;
  readonly webhookId: string;
  readonly reason: string;
  readonly disabledAtMs: number;
}

/**
 * Fast, and allowed to lose: what must not be missed is read from PostgreSQL by whoever must not miss it. Nothing here throws or
 * waits; listeners are called in a later turn of the event loop.
 */
export interface StatusBus extends LongRunning {
  /** Whether anybody may be watching, in whichever process: else there is nothing to put together for `publish`. */
  readonly hasListeners: boolean;
  /** Tells watchers of committed changes. */
  publish(updates: readonly StatusUpdate[]): void;
  /** Hears of changes committed by any process until the returned function is called. */
  subscribe(listener: (updates: readonly StatusUpdate[]) => void): () => void;
  /** Tells every process, this one included, to read a webhook anew. */
  announceWebhook(webhookId: string): void;
  onWebhookChanged(callback: (webhookId: string) => void): void;
  notify(notice: OwnerNotice): void;
  onNotice(callback: (notice: OwnerNotice) => void): () => void;
}
