// One delivery in the hands of this process, with everything an attempt needs except the webhook itself.
import type { LoadedDelivery } from '../persistence/queries/load-deliveries.ts';
import type { Leased } from '../schedule/scheduler.ts';

/** Its `revision` says how old a copy of the webhook may be: an older one must not be used. */
export interface Task extends Omit<LoadedDelivery, 'id' | 'waitMs' | 'rowExpirations'> {
  readonly deliveryId: string;
  readonly lease: Leased;
  /** Straight from a commit of this process, not claimed from the schedule. */
  readonly isDirect: boolean;
}
