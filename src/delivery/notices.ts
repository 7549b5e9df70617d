// The service's own notices to NOTIFICATION_SERVICE_URL: a webhook was disabled or is back, deliveries were given up, a certificate ends soon.
import type { ExpiringCertificate } from './certificate-watch.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { LongRunning } from '../lifecycle/long-running.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import type { Logger } from '../telemetry/log.ts';
import { NoticeQueue, type Notice, type TimedNotice } from './notice-queue.ts';

/** For one try, from the dial to the end of the response, in milliseconds. */
const TIMEOUT_MS = 5000;
const TRIES = 3;
const RETRY_DELAY_MS = 1000;

/** Sends notices one by one, best effort: what they report is in the database. */
export class Notices implements LongRunning {
  readonly name = 'notices';
  readonly #url: string | null;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  /** Opened with the first notice: most processes never send one. */
  #client: ReturnType<typeof openClient> | null = null;
  readonly #waiting = new NoticeQueue();
  #dropped = 0;
  #sending: Promise<void> | null = null;

  constructor(url: string | null, log: Logger) {
    this.#url = url;
    this.#log = log;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  /** Ends at once, whatever the notification service does: what waits is lost with the process. */
  async drain(): Promise<void> {
    this.#stopping.abort();
    // Aborting a request leaves one that is still being dialled waiting for its dial.
    await (await this.#client)?.agent.destroy();
    await this.#sending;
  }

  send(notice: Notice): void {
    if (this.#url === null || this.#stopping.signal.aborted) return;
    this.#dropped += this.#waiting.add({ ...notice, timestamp: new Date().toISOString() });
    this.#sending ??= this.#sendAll(this.#url).finally(() => (this.#sending = null));
  }

  async #sendAll(url: string): Promise<void> {
    const { signal } = this.#stopping;
    for (let notice = this.#waiting.next(); notice !== undefined && !signal.aborted; notice = this.#waiting.next()) {
      const isTaken = await this.#trySend(url, notice);
      if (!isTaken && !signal.aborted) {
        this.#log.warn({ type: notice.type }, 'a notice was not taken by the notification service');
      }
      if (this.#dropped > 0) this.#log.warn({ count: this.#dropped }, 'notices were dropped: too many wait');
      this.#dropped = 0;
    }
  }

  async #trySend(url: string, notice: TimedNotice): Promise<boolean> {
    const { signal } = this.#stopping;
    const { agent, request } = await (this.#client ??= openClient());
    for (let tries = 0; tries < TRIES && !signal.aborted; tries += 1) {
      try {
        const answer = await request(url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(notice),
          dispatcher: agent,
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
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

async function openClient() {
  const { Agent, request } = await import('undici');
  return {
    request,
    agent: new Agent({ connect: { timeout: TIMEOUT_MS }, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS }),
  };
}

/** @param whose the certificate of the receiver, or the one that the webhook shows to it */
export function certificateNotice(
  { webhookId, userId, expiresAtMs }: ExpiringCertificate,
  whose: 'receiver' | 'client',
): Notice {
  return {
    type: whose === 'receiver' ? 'webhook.certificate_expiring' : 'webhook.client_certificate_expiring',
    data: { webhook_id: webhookId, user_id: userId, certificate_expires_at: new Date(expiresAtMs).toISOString() },
  };
}

/** The notice of a delivery that will not be tried again. */
export function givenUpNotice(update: StatusUpdate): Notice {
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
      count: 1,
    },
  };
}
