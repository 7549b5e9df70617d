// Holds the deliveries that this process has and does not send, because their webhook was paused: many in one statement.
import type { Pool } from 'pg';
import { GroupCommit } from '../persistence/group-commit.ts';
import { holdDeliveries } from '../persistence/queries/hold-deliveries.ts';

/** Deliveries of one statement: some 40 ms. */
const MAX_BATCH = 500;
/** Never refused: what asks is what has a place in flight. */
const MAX_PENDING_BYTES = Number.POSITIVE_INFINITY;

export interface HoldQueueOptions {
  readonly pool: Pool;
  readonly onHeld: (count: number) => void;
}

/** @returns a function that resolves to whether a delivery is held now; it rejects when that could not be written */
export function createHoldQueue({ pool, onHeld }: HoldQueueOptions): (deliveryId: string) => Promise<boolean> {
  const commits = new GroupCommit<string, boolean>({
    limits: { maxBatchItems: MAX_BATCH, maxBatchBytes: MAX_PENDING_BYTES, maxPendingBytes: MAX_PENDING_BYTES },
    write: async (deliveryIds) => {
      const held = await holdDeliveries(pool, deliveryIds);
      onHeld(held.size);
      return deliveryIds.map((id) => held.has(id));
    },
    isItemFault: () => false,
  });
  return (deliveryId) =>
    new Promise((resolve, reject) => {
      commits.add(deliveryId, deliveryId.length, (error, isHeld) => {
        if (error === undefined) resolve(isHeld === true);
        else reject(error instanceof Error ? error : new Error('a delivery could not be held', { cause: error }));
      });
    });
}
