// The status bus within one process.
import type { Logger } from '../telemetry/log.ts';
import type { OwnerNotice, StatusBus } from './status-bus.ts';
import { forWatchers, type StatusUpdate } from './status-update.ts';

export class LocalStatusBus implements StatusBus {
  readonly name = 'status bus';
  readonly #log: Logger;
  readonly #listeners = new Set<(updates: readonly StatusUpdate[]) => void>();
  readonly #webhookCallbacks = new Set<(webhookId: string) => void>();
  readonly #noticeCallbacks = new Set<(notice: OwnerNotice) => void>();
  #waiting: StatusUpdate[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  async start(): Promise<void> {}

  async drain(): Promise<void> {
    this.#deliver();
  }

  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  publish(updates: readonly StatusUpdate[]): void {
    if (this.#listeners.size === 0 || updates.length === 0) return;
    // Later, so that the engine goes on first; together, so that listeners see batches.
    if (this.#waiting.length === 0) setImmediate(() => this.#deliver());
    for (const update of updates) this.#waiting.push(forWatchers(update));
  }

  subscribe(listener: (updates: readonly StatusUpdate[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  announceWebhook(webhookId: string): void {
    this.#call(this.#webhookCallbacks, webhookId);
  }

  onWebhookChanged(callback: (webhookId: string) => void): void {
    this.#webhookCallbacks.add(callback);
  }

  notify(notice: OwnerNotice): void {
    this.#call(this.#noticeCallbacks, notice);
  }

  onNotice(callback: (notice: OwnerNotice) => void): () => void {
    this.#noticeCallbacks.add(callback);
    return () => void this.#noticeCallbacks.delete(callback);
  }

  #deliver(): void {
    const updates = this.#waiting;
    this.#waiting = [];
    if (updates.length > 0) this.#call(this.#listeners, updates);
  }

  // A listener that throws must not fail the sender.
  #call<T>(callbacks: ReadonlySet<(value: T) => void>, value: T): void {
    for (const callback of callbacks) {
      try {
        callback(value);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the status bus failed');
      }
    }
  }
}
