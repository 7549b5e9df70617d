// Schedules the deliveries that have the turn by now, after a commit that ended those before them.
import type { Pool } from 'pg';
import { type Chain, type ClaimedEnded, clearFlights, listTurns } from '../persistence/queries/ordering-heads.ts';
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

/** The same of deliveries that were claimed and had ended: what waits for their requests goes on first. Never rejects: it goes on a minute later. */
export async function enqueueAfter(options: TurnsOptions, ended: readonly ClaimedEnded[]): Promise<void> {
  if (ended.length === 0) return;
  try {
    await clearFlights(options.pool, ended);
  } catch (error) {
    options.log.warn({ err: error }, 'keys of cancelled deliveries go on only when their requests must have ended');
    return;
  }
  await enqueueTurns(options, ended);
}
