// The status bus: what one part of the service sends to the others at once, in this process and in every other.
import type { LongRunning } from '../lifecycle/long-running.ts';
import type { StatusUpdate } from './status-update.ts';

/** Something a webhook's owner should know about at once. */
export interface OwnerNotice {
  readonly type: 'webhook_disabled' | 'webhook_paused' | 'webhook_enabled' | 'webhook_resumed';
  readonly userId: string;
  readonly webhookId: string;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/**
 * Fast, and allowed to lose: a part that must not miss anything reads PostgreSQL as well. Nothing here throws or
 * waits; listeners are called in a later turn of the event loop.
 */
export interface StatusBus extends LongRunning {
  /** Whether a watcher may be connected to any process. If not, nothing needs to be made for `publish`. */
  readonly hasListeners: boolean;
  /** Sends committed changes to watchers. */
  publish(updates: readonly StatusUpdate[]): void;
  /** Calls back with changes committed by any process, until the returned function is called. */
  subscribe(listener: (updates: readonly StatusUpdate[]) => void): () => void;
  /** Has every process, this one included, read a webhook anew. */
  announceWebhook(webhookId: string): void;
  onWebhookChanged(callback: (webhookId: string) => void): void;
  notify(notice: OwnerNotice): void;
  onNotice(callback: (notice: OwnerNotice) => void): () => void;
}
