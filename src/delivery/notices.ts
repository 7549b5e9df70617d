// The service's own notices to NOTIFICATION_SERVICE_URL: a webhook was disabled, a delivery was given up.
import { setTimeout as wait } from 'node:timers/promises';
import { request } from 'undici';
import type { LongRunning } from '../lifecycle.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import type { Logger } from '../telemetry/log.ts';

export type Notice =
  | {
      readonly type: 'webhook.disabled';
      readonly data: { webhook_id: string; user_id: string; reason: string };
    }
  | {
      readonly type: 'delivery.given_up';
      readonly data: {
        delivery_id: string;
        webhook_id: string;
        user_id: string;
        event_id: string;
        event_type: string;
        error_code: string | null;
        attempts: number;
      };
    };

/** Notices waiting while the notification service is away; older ones are worth less than newer ones, so the oldest goes. */
const MAX_WAITING = 1000;
const TIMEOUT_MS = 5000;
const TRIES = 3;
const RETRY_DELAY_MS = 1000;

/** Sends notices one by one, best effort: the truth they tell of stands in the database. */
export class Notices implements LongRunning {
  readonly name = 'notices';
  readonly #url: string | null;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #waiting: (Notice & { readonly timestamp: string })[] = [];
  #sending: Promise<void> | null = null;

  constructor(url: string | null, log: Logger) {
    this.#url = url;
    this.#log = log;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
  }

  send(notice: Notice): void {
    if (this.#url === null || this.#stopping.signal.aborted) return;
    if (this.#waiting.length === MAX_WAITING) this.#waiting.shift();
    this.#waiting.push({ ...notice, timestamp: new Date().toISOString() });
    this.#sending ??= this.#sendAll(this.#url).finally(() => (this.#sending = null));
  }

  async #sendAll(url: string): Promise<void> {
    for (let notice = this.#waiting.shift(); notice !== undefined; notice = this.#waiting.shift()) {
      if (!(await this.#trySend(url, JSON.stringify(notice)))) {
        this.#log.warn({ type: notice.type }, 'a notice was not taken by the notification service');
      }
    }
  }

  async #trySend(url: string, body: string): Promise<boolean> {
    const { signal } = this.#stopping;
    for (let tries = 0; tries < TRIES && !signal.aborted; tries += 1) {
      try {
        const answer = await request(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
          headersTimeout: TIMEOUT_MS,
          bodyTimeout: TIMEOUT_MS,
          signal,
        });
        await answer.body.dump();
        if (answer.statusCode < 300) return true;
      } catch (error) {
        this.#log.debug({ err: error }, 'the notification service did not answer');
      }
      await wait(RETRY_DELAY_MS, undefined, { signal }).catch(() => undefined);
    }
    return false;
  }
}

/** The notice of a delivery that will not be tried again. */
export function givenUp(update: StatusUpdate): Notice {
  return {
    type: 'delivery.given_up',
    data: {
      delivery_id: update.deliveryId,
      webhook_id: update.webhookId,
      user_id: update.userId,
      event_id: update.eventId,
      event_type: update.eventType,
      error_code: update.errorCode,
      attempts: update.attemptCount,
    },
  };
}
