// The statements by which a caller makes, changes and ends the release that drains a hold.
import type { EntityManager } from '@mikro-orm/postgresql';
import { isHeld } from '../delivery-state.ts';
import { MAX_COUNTED_HELD } from './count-held.ts';

export interface NewResume {
  readonly id: string;
  readonly webhookId: string;
  readonly userId: string;
  /** Deliveries a second. */
  readonly rate: number;
}

export async function insertResume(transaction: EntityManager, { id, webhookId, userId, rate }: NewResume): Promise<void> {
  await transaction.execute(
    `insert into releases (id, webhook_id, user_id, kind, rate, matched, is_matched_lower_bound)
     select ?, ?, ?, 'resume', ?, n, n = ${MAX_COUNTED_HELD} from (select count(*) as n from (
       select 1 from deliveries d where d.webhook_id = ? and ${isHeld} limit ${MAX_COUNTED_HELD}) x) held`,
    [id, webhookId, userId, rate, webhookId],
  );
}

/** For a release that has not ended. */
export async function setReleaseRate(transaction: EntityManager, id: string, rate: number): Promise<void> {
  await transaction.execute('update releases set rate = ? where id = ? and ended_at is null', [rate, id]);
}

/** Waits for a step of it that is under way: after this it makes nothing due. */
export async function cancelResume(transaction: EntityManager, id: string, reason: string): Promise<void> {
  await transaction.execute(
    `update releases set state = 'cancelled', reason = ?, ended_at = clock_timestamp() where id = ? and ended_at is null`,
    [reason, id],
  );
}
