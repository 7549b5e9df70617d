// What was claimed, by what its rows say: to be sent, or to be given back. The schedule is only an index of the rows.
import type { LoadedDelivery } from '../persistence/queries/load-deliveries.ts';
import type { ClaimedEnded } from '../persistence/queries/ordering-heads.ts';
import type { Leased, Settlement } from '../schedule/scheduler.ts';
import type { Task } from './task.ts';

export interface SortedClaim {
  readonly tasks: (Task & { readonly userId: string })[];
  readonly settlements: Settlement[];
  /** Of ordering keys, what had ended: this claim shows that no request of it is under way. */
  readonly endedInChains: ClaimedEnded[];
  /** Entries of the schedule that name no delivery. */
  readonly unknownMembers: number;
  /** Deliveries of which a lease in the row had run out. */
  readonly expiredInRows: number;
}

/** @param nowMs by the database's clock, in milliseconds since 1970 */
export function sortClaimed(leased: readonly Leased[], rows: readonly LoadedDelivery[], nowMs: number): SortedClaim {
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  const tasks: (Task & { readonly userId: string })[] = [];
  const settlements: Settlement[] = [];
  const endedInChains: ClaimedEnded[] = [];
  let unknownMembers = 0;
  let expiredInRows = 0;
  for (const lease of leased) {
    const row = rowOf.get(lease.deliveryId);
    // Without a row, or listed under another webhook: such a member was written by hand.
    if (row === undefined || row.webhookId !== lease.webhookId) {
      unknownMembers += 1;
      settlements.push({ ...lease, dueAtMs: null });
    }
    // It has ended, and leaves the schedule.
    else if (row.waitMs === null) {
      settlements.push({ ...lease, dueAtMs: null });
      if (row.chain !== null)
        endedInChains.push({ deliveryId: row.id, webhookId: row.webhookId, orderingKey: row.chain, token: lease.token });
    } else if (row.waitMs > 0) settlements.push({ ...lease, dueAtMs: nowMs + Math.ceil(row.waitMs) });
    else {
      // Redis does not count the leases in rows.
      const expirations = lease.expirations + row.rowExpirations;
      if (row.rowExpirations > 0) expiredInRows += 1;
      tasks.push({ ...row, lease: { ...lease, expirations }, isInserted: false, deliveryId: row.id });
    }
  }
  return { tasks, settlements, endedInChains, unknownMembers, expiredInRows };
}
