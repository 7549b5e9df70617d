// Which events that are about to be committed may be leased by the insert, so that this process attempts their deliveries at once.
import type { EventRow, InsertLeaseRequest } from '../persistence/queries/insert-events.ts';
import type { Lanes } from './lanes.ts';

/**
 * Events of one user in one commit whose deliveries are leased; the others are scheduled. Two commits that overlap fill no more than the
 * lane of a receiver that has not responded yet. For receivers that respond fast there are more (Lanes.maxInsertLeasesOf).
 */
const MAX_INSERT_LEASES_PER_USER = 64;
/** With more full webhooks and users than this, a commit would spend its time on comparing: then nothing is leased. */
const MAX_FULL = 100;

/** @returns null when nothing may be leased */
export function chooseInsertLeases(
  lanes: Lanes,
  events: readonly EventRow[],
  lease: Pick<InsertLeaseRequest, 'leaseMs' | 'holder'>,
  now: number,
): InsertLeaseRequest | null {
  if (!lanes.takesInserts(now)) return null;
  const full = lanes.full(now);
  if (full.webhookIds.length + full.userIds.length > MAX_FULL) return null;
  const eventsOf = new Map<string, number>();
  const limits = new Map<string, number>();
  const maxOf = (userId: string): number => {
    if ((eventsOf.get(userId) ?? 0) <= MAX_INSERT_LEASES_PER_USER) return MAX_INSERT_LEASES_PER_USER;
    let limit = limits.get(userId);
    if (limit === undefined) limits.set(userId, (limit = lanes.maxInsertLeasesOf(userId, MAX_INSERT_LEASES_PER_USER, now)));
    return limit;
  };
  const isLeased = (event: EventRow): boolean => {
    if (event.broadcast) return false;
    for (const userId of event.userIds) eventsOf.set(userId, (eventsOf.get(userId) ?? 0) + 1);
    return event.userIds.every((userId) => (eventsOf.get(userId) ?? 0) <= maxOf(userId));
  };
  return { ...lease, events: events.map(isLeased), fullWebhookIds: full.webhookIds, fullUserIds: full.userIds };
}
