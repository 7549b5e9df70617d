// The schedule as an index that can be lost and built anew, as Redis is; PostgreSQL's own needs none of it.
import type { Scheduler } from './scheduler.ts';

/**
 * `missing`: new, or emptied. `building`: being filled from PostgreSQL. `outdated`: being filled, but it has kept its keys and lacks only
 * what was scheduled while it was away. `complete`: holds all that is scheduled. The last two give out.
 */
export type IndexState = 'missing' | 'building' | 'outdated' | 'complete';

export interface ScheduleIndex extends Scheduler {
  /** Rejects while the index cannot be read. */
  indexState(): Promise<IndexState>;
  /** Rejects while the index cannot do all that it may have to: it is away, full, a replica, or forbids a command. */
  checkWritable(): Promise<void>;
  /** Marks the index as being filled. `mark` shows afterwards whether it was emptied again meanwhile. */
  beginBuild(mark: string): Promise<void>;
  /** The same for an index that has kept its keys. The mark stands until a leader has filled it. */
  beginRefill(mark: string): Promise<void>;
  /** Marks the index as complete. Resolves to false when the mark it was begun with was lost. */
  completeBuild(mark: string): Promise<boolean>;
  /** For SUSPEND_MS the index gives nothing out, to any process: this one claims from rows. Rejects as `checkWritable` does. */
  suspendClaims(): Promise<void>;
  /** Ends the suspension of this process. Those of other processes stand. */
  resumeClaims(): Promise<void>;
  /** Marks the receivers of these webhooks as away until a probe shows otherwise: what an emptied index knew of them is lost. */
  suspect(webhookIds: readonly string[]): Promise<void>;
}
