// Schedules the deliveries that have the turn by now, after a commit that ended those before them.
import type { Pool } from 'pg';
import { type Chain, listTurns } from '../persistence/queries/ordering-heads.ts';
import type { Scheduler } from './scheduler.ts';

/** They are due in their rows: what the schedule does not take, the reconciler puts there. */
export async function enqueueTurns(pool: Pool, scheduler: Pick<Scheduler, 'enqueue'>, chains: readonly Chain[]): Promise<void> {
  if (chains.length === 0) return;
  const turns = await listTurns(pool, chains);
  if (turns.length > 0) await scheduler.enqueue(turns);
}
