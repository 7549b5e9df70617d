// Schedules the deliveries that have the turn by now, after a commit that ended those before them.
import type { Pool } from 'pg';
import { type Chain, listTurns } from '../persistence/queries/ordering-heads.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Scheduler } from './scheduler.ts';

export interface TurnsOptions {
  readonly pool: Pool;
  readonly scheduler: Pick<Scheduler, 'enqueue'>;
  readonly log: Logger;
}

/** Never rejects: they are due in their rows, and what the schedule does not take, the reconciler puts there. */
export async function enqueueTurns({ pool, scheduler, log }: TurnsOptions, chains: readonly Chain[]): Promise<void> {
  if (chains.length === 0) return;
  try {
    const turns = await listTurns(pool, chains);
    if (turns.length > 0) await scheduler.enqueue(turns);
  } catch (error) {
    log.warn({ err: error }, 'deliveries whose turn it is were not scheduled; the reconciler will do it');
  }
}
