// Writes outcomes, and disables the webhooks that say they are gone. Those that have failed for too long are disabled or paused.
import { inTransaction } from '../persistence/transaction.ts';
import type { Pool } from 'pg';
import { disableWebhook, type DisabledReason } from '../persistence/queries/disable-webhook.ts';
import { noticeFailing, type NoticedFailing } from '../persistence/queries/notice-failing.ts';
import { pauseFailingWebhook } from '../persistence/queries/pause-failing-webhook.ts';
import { chainName, listLocked } from '../persistence/queries/list-locked.ts';
import {
  recordOutcomes,
  type FailingWebhook,
  type OutcomeRow,
  type RecordedState,
} from '../persistence/queries/record-outcomes.ts';
import { sqlState } from '../persistence/store-errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { FailingWatch } from './failing-watch.ts';

/** The status by which a receiver says that nothing is to be sent to it any more. */
export const GONE = 410;
/** SQLSTATE lock_not_available: another session has locked a row for longer than the lock timeout. */
const LOCK_NOT_AVAILABLE = '55P03';

/** Undefined: the outcome was fenced off. Locked: another session has locked the delivery or its webhook, and nothing was written. */
export type Recorded = RecordedState | 'locked' | undefined;

export interface DisabledWebhook {
  readonly webhookId: string;
  readonly userId: string;
  readonly reason: DisabledReason;
}

/** A webhook that failed for too long, of an owner who wants to keep what it would get. */
export interface PausedWebhook {
  readonly webhookId: string;
  readonly userId: string;
}

/** A webhook that fails and is to be stopped, if that goes on. */
export interface FailingNotice extends NoticedFailing {
  readonly webhookId: string;
  /** Of the way to being stopped. */
  readonly percent: number;
}

export interface OutcomeStoreOptions {
  readonly pool: Pool;
  /** Of this process (see Holder). */
  readonly holderId?: () => string | null;
  readonly disableAfterMs: number;
  readonly disableAfterFailures: number;
  /** When a webhook that was stopped for failing is probed for the first time; null: it is not. */
  readonly probeAfterMs: number | null;
  /** Called after the commit. What is still pending for the webhook is cancelled then. */
  readonly onDisabled: (webhook: DisabledWebhook) => void;
  /** Called once for each step on the way to being stopped, of each run of failures. */
  readonly onFailing: (webhook: FailingNotice) => void;
  /** Called after the commit. The leader holds what is still scheduled for the webhook. */
  readonly onPaused: (webhook: PausedWebhook) => void;
  readonly telemetry: Telemetry;
}

export class OutcomeStore {
  readonly #options: OutcomeStoreOptions;
  readonly #failing: FailingWatch;

  constructor(options: OutcomeStoreOptions) {
    this.#options = options;
    this.#failing = new FailingWatch(options);
  }

  /**
   * Writes outcomes, without those whose rows another session has locked: they would keep the others waiting.
   * @param returnsEachTime see recordOutcomes
   * @param isLockLikely asks for the locks beforehand, instead of waiting for one first
   */
  async record(rows: readonly OutcomeRow[], returnsEachTime: boolean, isLockLikely: boolean): Promise<readonly Recorded[]> {
    if (!isLockLikely) {
      try {
        return await this.#write(rows, returnsEachTime);
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      }
    }
    const webhookIds = [...new Set(rows.map((row) => row.webhookId))];
    const deliveryIds = rows.map((row) => row.deliveryId);
    const chains = rows.flatMap(({ webhookId, orderingKey }) => (orderingKey === null ? [] : [{ webhookId, orderingKey }]));
    const locked = await listLocked(this.#options.pool, deliveryIds, webhookIds, chains);
    const isFree = ({ deliveryId, webhookId, orderingKey }: OutcomeRow): boolean =>
      !locked.deliveryIds.has(deliveryId) &&
      !locked.webhookIds.has(webhookId) &&
      (orderingKey === null || !locked.chains.has(chainName({ webhookId, orderingKey })));
    const free = rows.filter(isFree);
    const states = free.length === 0 ? [] : await this.#write(free, returnsEachTime);
    let next = 0;
    return rows.map((row) => (isFree(row) ? states[next++] : 'locked'));
  }

  // One statement and one commit, unless a receiver responded with 410: then its webhook is disabled in the same transaction.
  async #write(rows: readonly OutcomeRow[], returnsEachTime: boolean): Promise<readonly (RecordedState | undefined)[]> {
    if (rows.some((row) => row.httpStatus === GONE)) return this.#recordGone(rows);
    const { states, failing } = await recordOutcomes(this.#options.pool, rows, returnsEachTime, this.#holderId());
    for (const webhook of failing) this.#watch(webhook);
    return states;
  }

  async #recordGone(rows: readonly OutcomeRow[]): Promise<readonly (RecordedState | undefined)[]> {
    const disabled: DisabledWebhook[] = [];
    const recorded = await inTransaction(this.#options.pool, 'begin', async (client) => {
      const { states } = await recordOutcomes(client, rows, true, this.#holderId());
      const gone = rows.filter(({ httpStatus }, index) => httpStatus === GONE && states[index] !== undefined);
      for (const webhookId of [...new Set(gone.map((row) => row.webhookId))].toSorted()) {
        const result = await disableWebhook(client, webhookId, 'gone');
        if (result !== null) disabled.push(result);
      }
      return states;
    });
    for (const webhook of disabled) this.#options.onDisabled(webhook);
    return recorded;
  }

  #holderId(): string | null {
    return this.#options.holderId?.() ?? null;
  }

  #watch(webhook: FailingWebhook): void {
    if (this.#failing.isOver(webhook)) return void this.#stop(webhook.webhookId);
    const percent = this.#failing.reached(webhook);
    if (percent !== null) void this.#notice(webhook.webhookId, percent);
  }

  async #notice(webhookId: string, percent: number): Promise<void> {
    const { pool, onFailing, telemetry } = this.#options;
    try {
      const noticed = await noticeFailing(pool, webhookId, percent);
      if (noticed !== null) onFailing({ webhookId, percent, ...noticed });
    } catch (error) {
      this.#failing.forget(webhookId);
      telemetry.log.warn(
        { err: error, webhook_id: webhookId },
        'that a webhook fails could not be noted; its next failure tries again',
      );
    }
  }

  // Not in the transaction of the outcome: should it fail, the next failure of the webhook tries again.
  async #stop(webhookId: string): Promise<void> {
    const { pool, probeAfterMs } = this.#options;
    try {
      const userId = await pauseFailingWebhook(pool, webhookId, probeAfterMs);
      if (userId !== null) return this.#options.onPaused({ webhookId, userId });
      const disabled = await disableWebhook(pool, webhookId, 'failing', probeAfterMs);
      if (disabled !== null) this.#options.onDisabled(disabled);
    } catch (error) {
      this.#options.telemetry.log.warn(
        { err: error, webhook_id: webhookId },
        'a failing webhook could not be disabled or paused',
      );
    }
  }
}
