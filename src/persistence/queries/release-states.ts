// The statements that move releases from state to state, for the leader.
import type { Pool } from 'pg';
import { Hold, isScheduled } from '../delivery-state.ts';
import { inTransaction } from '../transaction.ts';
import type { ReplayFilter } from './replay-selection.ts';
import { eventId } from './replay-step.ts';

/**
 * Releases looked after in one round. A step takes some 2 ms, so these take their turn within a few seconds. Of more than these a round takes some by chance:
 * those that wait for their receivers must not keep the others from their turn.
 */
const MAX_OPEN = 1000;
/** In the tail new deliveries wait so long for those that were held last, in milliseconds: transactions of publishes take less. */
const TAIL_MS = 2000;

export type ReleaseWait = 'receiver_failing' | 'webhook_paused' | 'webhook_resuming';

export interface OpenRelease {
  /** A bigint, as text. */
  readonly no: string;
  readonly webhookId: string;
  /** Of a hold, or of what has ended. */
  readonly kind: 'resume' | 'replay';
  /** Of a replay. */
  readonly filter: ReplayFilter;
  /** A replay that has come to what was never made. */
  readonly isMakingMissing: boolean;
  readonly state: 'running' | 'waiting';
  /** Why it waits. */
  readonly reason: ReleaseWait | null;
  /** Deliveries a second. */
  readonly rate: number;
  readonly tailAt: string | null;
  /** Of its webhook. */
  readonly hold: number;
  readonly isGathering: boolean;
  readonly isDeliverable: boolean;
  readonly consecutiveFailures: number;
}

export async function listOpenReleases(pool: Pool): Promise<OpenRelease[]> {
  const { rows } = await pool.query<OpenRelease>({ name: 'list-open-releases', text: openReleases });
  return rows;
}

const openReleases = `
select r.no::text, r.webhook_id as "webhookId", r.kind, r.filter, r.cursor like 'event%' as "isMakingMissing", r.state, r.reason, r.rate, r.tail_at::text as "tailAt", w.hold, w.is_gathering as "isGathering",
  w.is_active and w.deleted_at is null as "isDeliverable", w.consecutive_failures as "consecutiveFailures"
from releases r join webhook_endpoints w on w.id = r.webhook_id
where r.ended_at is null and r.state in ('running', 'waiting')
order by random() limit ${MAX_OPEN}`;

/** Webhooks of which something scheduled is still to be moved into the hold. */
export async function listGathering(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'list-gathering',
    text: `select id from webhook_endpoints where is_gathering order by id limit ${MAX_OPEN}`,
  });
  return rows.map(({ id }) => id);
}

/** To be called when nothing scheduled was found. False: another leader was first. */
export async function endGathering(pool: Pool, webhookId: string): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'end-gathering',
    text: 'update webhook_endpoints set is_gathering = false, revision = revision + 1 where id = $1 and is_gathering',
    values: [webhookId],
  });
  return rowCount === 1;
}

/** A release waits while its receiver fails, and starts slowly again afterwards. Null: it goes on. */
export async function setWaiting(pool: Pool, releaseNo: string, reason: ReleaseWait | null): Promise<void> {
  await pool.query({
    name: 'set-release-waiting',
    text: `update releases set state = case when $2::text is null then 'running' else 'waiting' end, reason = $2, begun_at = null,
        filled_at = null, tokens = least(tokens, 1)
      where no = $1 and ended_at is null and state in ('running', 'waiting') and reason is distinct from $2`,
    values: [releaseNo, reason],
  });
}

/** All that a replay selects is due: it goes on with what was never made. */
export async function beginMissing(pool: Pool, replayNo: string): Promise<void> {
  await pool.query({
    name: 'begin-missing',
    text: `update releases set cursor = ${eventId(`coalesce(filter ->> 'cursor', 'delivery_')`)}
      where no = $1 and ended_at is null and cursor not like 'event%'`,
    values: [replayNo],
  });
}

export async function endReplay(
  pool: Pool,
  replayNo: string,
  { state, reason }: { readonly state: 'completed' | 'cancelled'; readonly reason: string | null },
): Promise<void> {
  await pool.query({
    name: 'end-replay',
    text: 'update releases set state = $2, reason = $3, ended_at = clock_timestamp() where no = $1 and ended_at is null',
    values: [replayNo, state, reason],
  });
}

/** How many deliveries of a webhook are due and not done with, counted no further than `max`: those under way and those that wait. */
export async function countDue(pool: Pool, webhookId: string, max: number): Promise<number> {
  const { rows } = await pool.query<{ n: number }>({
    name: 'count-due',
    text: `select count(*)::integer as n from (
      select 1 from deliveries d where d.webhook_id = $1 and ${isScheduled} and d.next_attempt_at <= now() limit $2) x`,
    values: [webhookId, max],
  });
  return rows[0]?.n ?? 0;
}

/** Nothing is held any more that a release has not seen: from now on new deliveries are scheduled, a little later than what was held last. */
export async function beginTail(pool: Pool, { no, webhookId }: OpenRelease): Promise<boolean> {
  return moveHold(
    pool,
    { no, webhookId, from: [Hold.releasing] },
    {
      webhook: `hold = ${Hold.tail}, tail_until = clock_timestamp() + interval '${TAIL_MS} milliseconds'`,
      release: 'tail_at = null',
    },
  );
}

/** The moment after which no transaction begins that has not seen the tail. In a statement after its commit. */
export async function markTail(pool: Pool, releaseNo: string): Promise<void> {
  await pool.query({
    name: 'mark-tail',
    text: 'update releases set tail_at = clock_timestamp() where no = $1 and tail_at is null',
    values: [releaseNo],
  });
}

export async function completeRelease(pool: Pool, { no, webhookId }: OpenRelease): Promise<boolean> {
  return moveHold(
    pool,
    { no, webhookId, from: [Hold.tail] },
    {
      webhook: `hold = ${Hold.none}, tail_until = null, release_id = null`,
      release: `state = 'completed', reason = null, ended_at = clock_timestamp()`,
    },
  );
}

/** Of a webhook that was disabled or deleted: what was held is cancelled with everything else that waits for it. */
export async function cancelRelease(pool: Pool, { no, webhookId }: OpenRelease): Promise<boolean> {
  return moveHold(
    pool,
    { no, webhookId, from: [Hold.releasing, Hold.tail] },
    {
      webhook: `hold = ${Hold.none}, is_gathering = false, tail_until = null, release_id = null`,
      release: `state = 'cancelled', reason = 'webhook_disabled', ended_at = clock_timestamp()`,
    },
  );
}

interface HoldMove {
  readonly no: string;
  readonly webhookId: string;
  readonly from: readonly number[];
}

// The webhook is locked before its release, as by callers that pause and resume it.
function moveHold(pool: Pool, { no, webhookId, from }: HoldMove, to: { webhook: string; release: string }): Promise<boolean> {
  return inTransaction(pool, 'begin', async (client) => {
    const { rowCount } = await client.query(
      `update webhook_endpoints set ${to.webhook}, revision = revision + 1
       where id = $1 and hold = any ($2::smallint[]) and release_id = (select id from releases where no = $3 and ended_at is null)`,
      [webhookId, from, no],
    );
    if (rowCount === 1) await client.query(`update releases set ${to.release} where no = $1`, [no]);
    return rowCount === 1;
  });
}

/** Counts in each release how its deliveries ended. Each note is counted once: it is deleted in the same commit. */
export async function foldReleaseNotes(pool: Pool): Promise<void> {
  await pool.query({ name: 'fold-release-notes', text: fold });
}

const fold = `
with locked as materialized (
  select no from releases where no = any (array(select distinct release_no from release_notes)) order by no for update skip locked
), taken as (
  delete from release_notes n where n.release_no = any (array(select no from locked)) returning n.release_no, n.outcome
), sums as materialized (
  select release_no, count(*) filter (where outcome = 'delivered') as delivered, count(*) filter (where outcome = 'failed') as failed,
    count(*) filter (where outcome = 'cancelled') as cancelled, count(*) filter (where outcome = 'held') as held
  from taken group by 1
)
update releases r set delivered = r.delivered + s.delivered, failed = r.failed + s.failed, cancelled = r.cancelled + s.cancelled,
  released = r.released - s.held
from sums s where r.no = s.release_no`;
