// The status bus between processes: pub/sub of Redis, which may lose messages and is believed only because PostgreSQL fills in.
import { randomUUID } from 'node:crypto';
import type { RedisConnection } from '../persistence/redis.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { LocalStatusBus } from './local-status-bus.ts';
import type { OwnerNotice, StatusBus } from './status-bus.ts';
import { forWatchers, type StatusUpdate } from './status-update.ts';

/** Updates in one message: some 100 kB, which Redis copies to a subscriber in well under a millisecond. */
const MAX_MESSAGE_UPDATES = 200;
/** Updates that wait for Redis. What comes on top is left to PostgreSQL, which watchers read anyway. */
const MAX_WAITING_UPDATES = 10_000;
/** ms. After a message without a listener, or one that Redis refused, nothing is sent for so long. A new watcher announces itself. */
const SILENCE_MS = 1000;

type Control = { readonly webhook: string } | { readonly notice: SentNotice } | { readonly watching: true };

/** Processes of an earlier version know the time of a notice by this name alone, and read it whatever the notice is about. */
type SentNotice = Omit<OwnerNotice, 'atMs'> & { readonly disabledAtMs: number };

export class RedisStatusBus implements StatusBus {
  readonly name = 'status bus';
  /** In front of every message, so that a process knows its own. */
  readonly #processId = randomUUID();
  readonly #redis: RedisConnection;
  readonly #telemetry: Telemetry;
  readonly #local: LocalStatusBus;
  readonly #updatesChannel: string;
  readonly #controlChannel: string;
  #waiting: StatusUpdate[] = [];
  #sending: Promise<void> | null = null;
  #silentUntil = 0;
  #stopListening: (() => void) | null = null;
  /**
   * Whether Redis counts this process among the listeners of updates: it does so a little after the first watcher came. Not announced to a
   * connection that broke: until the next one this process may be silent towards one other.
   */
  #isCounted = false;
  #stopControl: (() => void) | null = null;

  constructor(options: { readonly redis: RedisConnection; readonly keyPrefix: string; readonly telemetry: Telemetry }) {
    this.#redis = options.redis;
    this.#telemetry = options.telemetry;
    this.#local = new LocalStatusBus(options.telemetry.log);
    this.#updatesChannel = `${options.keyPrefix}wh:updates`;
    this.#controlChannel = `${options.keyPrefix}wh:control`;
  }

  start(): Promise<void> {
    this.#stopControl ??= this.#redis.listen(this.#controlChannel, { onMessage: (message) => this.#obey(message) });
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    await this.#local.drain();
    await this.#sending;
    this.#stopControl?.();
    this.#stopControl = null;
  }

  get hasListeners(): boolean {
    return this.#local.hasListeners || this.#silentUntil <= performance.now();
  }

  publish(updates: readonly StatusUpdate[]): void {
    if (updates.length === 0) return;
    this.#local.publish(updates);
    if (this.#silentUntil > performance.now()) return;
    for (const update of updates) {
      if (this.#waiting.length >= MAX_WAITING_UPDATES) return;
      this.#waiting.push(forWatchers(update));
    }
    this.#sending ??= this.#sendWaiting();
  }

  subscribe(listener: (updates: readonly StatusUpdate[]) => void): () => void {
    const unsubscribe = this.#local.subscribe(listener);
    if (this.#stopListening === null) {
      this.#stopListening = this.#redis.listen(this.#updatesChannel, {
        onMessage: (message) => {
          const updates = this.#read(message) as StatusUpdate[] | undefined;
          if (updates !== undefined) this.#local.publish(updates);
        },
        // Only after Redis has counted the subscription. Otherwise a sender would count no listener and stop sending for another second.
        onCounted: () => {
          this.#isCounted = true;
          this.#send({ watching: true });
        },
      });
    }
    return () => {
      unsubscribe();
      if (this.#local.hasListeners) return;
      this.#stopListening?.();
      this.#stopListening = null;
      this.#isCounted = false;
    };
  }

  announceWebhook(webhookId: string): void {
    this.#local.announceWebhook(webhookId);
    this.#send({ webhook: webhookId });
  }

  onWebhookChanged(callback: (webhookId: string) => void): void {
    this.#local.onWebhookChanged(callback);
  }

  notify(notice: OwnerNotice): void {
    this.#local.notify(notice);
    const { atMs, ...rest } = notice;
    this.#send({ notice: { ...rest, disabledAtMs: atMs } });
  }

  onNotice(callback: (notice: OwnerNotice) => void): () => void {
    return this.#local.onNotice(callback);
  }

  // One message at a time: what comes meanwhile makes up the next one.
  async #sendWaiting(): Promise<void> {
    // Not within the engine's turn.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#waiting.length > 0) {
        const updates = this.#waiting.splice(0, MAX_MESSAGE_UPDATES);
        // As it was when this message left: a subscription that was taken since then is not among those that got it.
        const own = this.#isCounted ? 1 : 0;
        const listeners = await this.#redis.broadcast(this.#updatesChannel, this.#write(updates));
        if (listeners <= own) this.#beSilent();
      }
    } catch (error) {
      this.#beSilent();
      this.#telemetry.events.storeFailed('redis', error);
    } finally {
      this.#sending = null;
    }
  }

  #beSilent(): void {
    this.#silentUntil = performance.now() + SILENCE_MS;
    this.#waiting = [];
  }

  #send(control: Control): void {
    this.#redis.broadcast(this.#controlChannel, this.#write(control)).catch((error: unknown) => {
      this.#telemetry.events.storeFailed('redis', error);
    });
  }

  #obey(message: string): void {
    const control = this.#read(message) as Control | undefined;
    if (control === undefined) return;
    if ('webhook' in control) this.#local.announceWebhook(control.webhook);
    else if ('notice' in control) {
      const { disabledAtMs, ...rest } = control.notice;
      this.#local.notify({ ...rest, atMs: disabledAtMs });
    } else this.#silentUntil = 0;
  }

  #write(value: Control | readonly StatusUpdate[]): string {
    return `${this.#processId}${JSON.stringify(value)}`;
  }

  /** Undefined for this process's own messages and for what is none. */
  #read(message: string): unknown {
    if (message.startsWith(this.#processId)) return undefined;
    try {
      return JSON.parse(message.slice(this.#processId.length));
    } catch (error) {
      this.#telemetry.log.warn({ err: error }, 'a message of the status bus could not be read');
      return undefined;
    }
  }
}
