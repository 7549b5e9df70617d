// Deliveries held from birth: written as held by whoever tries them at once. They are in no index but the primary key and their
// webhook's, and a first try that succeeds soon enters none either: that is what makes writing its outcome cheap.

/** An event's id may have been made so long before its commit, or after it by a clock that is ahead; of others nothing is held. */
export const MAX_ID_AGE_MS = 5000;
export const MAX_ID_LEAD_MS = 1000;
/** Since its commit: an outcome that is written later enters the index of changes. */
export const DELIVERED_AT_ONCE_MS = 5000;
/** So long after the time in its id a delivery may have changed without being in that index. */
export const MAX_UNINDEXED_CHANGE_MS = MAX_ID_AGE_MS + DELIVERED_AT_ONCE_MS;

/** Conditions on deliveries `d` that have not come to an end: they are in the index of what is scheduled, ... */
export const isScheduled = 'd.next_attempt_at is not null';
/** ... or held from birth, among the youngest: all below `adopted_below` has been scheduled or has come to an end. */
export const isLeasedOnInsert = `d.next_attempt_at is null and d.status = 'pending' and d.id >= (select adopted_below from adoption)`;
