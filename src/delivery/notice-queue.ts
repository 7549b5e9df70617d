// The notices that wait to be sent: a queue for each user, users in turn, and of one webhook one of a kind.

/** That the service has disabled a webhook. */
export interface WebhookDisabled {
  readonly type: 'webhook.disabled';
  readonly data: { readonly webhook_id: string; readonly user_id: string; readonly reason: string };
}

/** That the service has paused a webhook, and holds what it would get. */
export interface WebhookPaused {
  readonly type: 'webhook.paused';
  readonly data: WebhookDisabled['data'];
}

/** That a webhook fails, and that the service stops it if that goes on: at 50 and 80 percent of the way. */
export interface WebhookFailing {
  readonly type: 'webhook.failing';
  readonly data: WebhookDisabled['data'] & {
    readonly percent: number;
    readonly failing_since: string;
    readonly consecutive_failures: number;
    /** What becomes of it: `disable` or `hold`. */
    readonly on_failing: string;
  };
}

/** That the certificate of a receiver, or the client certificate that it is shown, ends within 14 days. */
export interface CertificateExpiring {
  readonly type: 'webhook.certificate_expiring' | 'webhook.client_certificate_expiring';
  readonly data: { readonly webhook_id: string; readonly user_id: string; readonly certificate_expires_at: string };
}

/** That a webhook which the service had disabled or paused is at work again, because its receiver is back. */
export interface WebhookBack {
  readonly type: 'webhook.enabled' | 'webhook.resumed';
  readonly data: WebhookDisabled['data'];
}

/** That deliveries of a webhook were given up: `count` of them since the last such notice, of which the newest is described. */
export interface DeliveryGivenUp {
  readonly type: 'delivery.given_up';
  readonly data: {
    readonly delivery_id: string;
    readonly webhook_id: string;
    readonly user_id: string;
    readonly event_id: string;
    readonly event_type: string;
    readonly error_code: string | null;
    readonly attempts: number;
    readonly count: number;
  };
}

export type Notice = WebhookDisabled | WebhookPaused | WebhookFailing | CertificateExpiring | WebhookBack | DeliveryGivenUp;
export type TimedNotice = Notice & { readonly timestamp: string };

/** Of all users together, 0.5 kB each. Beyond it the user with the most loses the oldest of the less important kind. */
export const MAX_WAITING = 1000;

/** What waits for one user, each kind by webhook, the oldest first. */
interface Waiting {
  readonly stopped: Map<string, TimedNotice>;
  readonly expiring: Map<string, TimedNotice>;
  readonly givenUp: Map<string, TimedNotice>;
}

export class NoticeQueue {
  /** In the order of their turns. */
  readonly #users = new Map<string, Waiting>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * Puts a notice behind the others of its user, or into the one of its webhook that waits already. Returns how many were dropped for it.
   */
  add(notice: TimedNotice): number {
    const { user_id: userId, webhook_id: webhookId } = notice.data;
    let waiting = this.#users.get(userId);
    if (waiting === undefined)
      this.#users.set(userId, (waiting = { stopped: new Map(), expiring: new Map(), givenUp: new Map() }));
    const ofKind = waiting[kindOf(notice)];
    // A webhook has two certificates.
    const key = ofKind === waiting.expiring ? `${notice.type} ${webhookId}` : webhookId;
    const before = ofKind.get(key);
    ofKind.set(key, before === undefined ? notice : merged(before, notice));
    if (before !== undefined) return 0;
    this.#size += 1;
    if (this.#size <= MAX_WAITING) return 0;
    this.#dropOne();
    return 1;
  }

  /** Takes out the next: users in turn, and that a webhook was disabled or paused before that deliveries were given up. */
  next(): TimedNotice | undefined {
    for (const [userId, waiting] of this.#users) {
      const notice = takeOldest(waiting.stopped) ?? takeOldest(waiting.expiring) ?? takeOldest(waiting.givenUp);
      this.#users.delete(userId);
      if (notice === undefined) continue;
      this.#size -= 1;
      if (sizeOf(waiting) > 0) this.#users.set(userId, waiting);
      return notice;
    }
    return undefined;
  }

  #dropOne(): void {
    let most: Waiting | undefined;
    for (const waiting of this.#users.values()) if (most === undefined || sizeOf(waiting) > sizeOf(most)) most = waiting;
    if (most === undefined) return;
    // The least important kind first.
    for (const kind of [most.givenUp, most.expiring, most.stopped]) if (takeOldest(kind) !== undefined) break;
    this.#size -= 1;
  }
}

function kindOf({ type }: Notice): keyof Waiting {
  if (type === 'delivery.given_up') return 'givenUp';
  return type === 'webhook.certificate_expiring' || type === 'webhook.client_certificate_expiring' ? 'expiring' : 'stopped';
}

function sizeOf({ stopped, expiring, givenUp }: Waiting): number {
  return stopped.size + expiring.size + givenUp.size;
}

function takeOldest(notices: Map<string, TimedNotice>): TimedNotice | undefined {
  const [oldest] = notices;
  if (oldest === undefined) return undefined;
  notices.delete(oldest[0]);
  return oldest[1];
}

/** The newer notice, counting for both. */
function merged(before: TimedNotice, notice: TimedNotice): TimedNotice {
  if (before.type !== 'delivery.given_up' || notice.type !== 'delivery.given_up') return notice;
  return { ...notice, data: { ...notice.data, count: before.data.count + notice.data.count } };
}
