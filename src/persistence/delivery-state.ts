// Which columns mean which state of a delivery (docs/delivery-lifecycle.md). Conditions are on deliveries `d`; no other file spells them.

/** ms. An event's id may be made this long before its commit, or after it by a clock that is ahead. Others are never leased on insert. */
export const MAX_ID_AGE_MS = 5000;
export const MAX_ID_LEAD_MS = 1000;
/** ms since the commit. A first success within it changes no indexed column, so PostgreSQL adds no index entry (HOT). */
export const DELIVERED_AT_ONCE_MS = 5000;
/** ms after the time in its id. Until then a delivery may have changed without an entry in the index of changes. */
export const MAX_UNINDEXED_CHANGE_MS = MAX_ID_AGE_MS + DELIVERED_AT_ONCE_MS;

/** Not delivered, failed or cancelled: it will be tried. Such a delivery is scheduled, leased on insert or held. */
export const isUnfinished = `d.status in ('pending', 'retrying')`;
/** The index of what is due holds it. */
export const isScheduled = 'd.next_attempt_at is not null';
/**
 * Leased by the insert, so in no index of what is due. Every delivery below `adopted_below` has been scheduled, is held for a paused webhook or
 * has ended.
 */
export const isLeasedOnInsert = `d.next_attempt_at is null and d.status = 'pending' and d.held_at is null
  and d.waits is not true and d.id >= (select adopted_below from adoption)`;
/** A lease in the row has not run out. A lease in Redis is not in the row. */
export const isLeased = 'd.leased_until > now()';
/** Held for a paused webhook. The status is asked as well: a process of an older version leaves `held_at` on what it has delivered. */
export const isHeld = `d.held_at is not null and d.status = 'pending'`;

/**
 * Waits for its turn: another delivery of its webhook and ordering key was let go before, and has not ended. The status is asked as well: a process of an
 * older version leaves `waits` on what it has cancelled.
 */
export const isWaiting = `d.waits and d.status = 'pending'`;

/** Another delivery of its chain may wait for it, so the head of the chain is locked before it ends. */
export const isAwaited = '(d.waits is false or d.collapse_key is not null)';

/** The ordering key of its event; null where its chain is that of a collapse key (domain/chain.ts). */
export const orderingKeyOf = (d: string): string => `case when ${d}.ordering_key >= ' ' then ${d}.ordering_key end`;
/** Its number among those with its ordering key. */
export const sequenceOf = (d: string): string => `case when ${d}.ordering_key >= ' ' then ${d}.sequence end`;

/** Its `deliver_before` has come: no attempt begins any more. */
export const hasExpired = 'd.deliver_before <= now()';

/** Of one whose first attempt succeeds now: it was leased on insert, and not long ago. Then no indexed column changes. */
export const isDeliveredAtOnce = `(d.next_attempt_at is null and d.changed_at is null
      and d.created_at > clock_timestamp() - interval '${DELIVERED_AT_ONCE_MS} milliseconds')`;

/** When it last changed. `changed_at` is null for a first success that came at once, and for what was never tried. */
export const changedAt = 'coalesce(d.changed_at, d.updated_at)';

/** Of a delivery whose webhook was closed, why it ends. In an update of deliveries. */
export const closedReason = `(select case when w.deleted_at is null then 'webhook_disabled' else 'webhook_deleted' end
    from webhook_endpoints w where w.id = webhook_id)`;
/** Why it ends when it was held until it was past retention. */
export const retentionReason = `'retention'`;
/** Why it ends when its webhook holds more than it may. */
export const heldLimitReason = `'held_limit'`;

/** Why it ends when it was not delivered before its `deliver_before`. */
export const expiredReason = `'expired'`;
/** Why it ends when a newer event with its collapse key was published. */
export const supersededReason = `'superseded'`;
/** Why it ends when its owner, or an admin, cancels it. */
export const callerReason = `'caller'`;

/** The assignments that end it without another attempt. What was delivered before, and was only being sent again, stays delivered. */
export const endCancelled = (reason: string): string => `
  status = case when delivered_at is null then 'cancelled' else 'delivered' end,
  next_attempt_at = null,
  leased_until = null,
  lease_expirations = 0,
  held_at = null,
  waits = null,
  cancelled_at = case when delivered_at is null then now() end,
  cancel_reason = case when delivered_at is null then ${reason} end,
  changed_at = clock_timestamp()`;

/** The assignments that put it into the hold. What a release made due before is not counted as that release's any more. */
export const putOnHold = `
  status = 'pending',
  next_attempt_at = null,
  leased_until = null,
  lease_expirations = 0,
  held_at = now(),
  release_no = null,
  changed_at = clock_timestamp()`;

/** What of a webhook's deliveries is held, in `webhook_endpoints.hold`. */
export const Hold = {
  /** Nothing. */
  none: 0,
  /** Everything: its owner has paused it. */
  paused: 1,
  /** What is new: a release makes due what was held before. */
  releasing: 2,
  /** Nothing any more, but what is new is not due before `tail_until`, so that what was held last goes first. */
  tail: 3,
} as const;

/** Whether nothing of webhook `w` is to be sent: what a process has of it is held instead. */
export const holdsEverything = (w: string): string => `(${w}.hold = ${Hold.paused} or ${w}.is_gathering)`;
/** Whether new deliveries of a webhook are held, by its `hold`. */
export const holdsNew = (hold: string): string => `${hold} in (${Hold.paused}, ${Hold.releasing})`;
