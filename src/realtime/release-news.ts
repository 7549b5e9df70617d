// News of releases: what has changed about them since the last look, while a watcher is connected.
import type { Pool } from 'pg';
import { listProgress, readLastRelease, type ReleaseProgress } from '../persistence/queries/release-progress.ts';
import type { WatchFilter } from './watch-filter.ts';

/** ms. So long after its end a release is followed while some of its deliveries have not ended: retries may take days. */
const FOLLOW_MS = 600_000;

export class ReleaseNews {
  readonly #pool: Pool;
  /** What was seen last of each release that is followed. */
  #seen = new Map<string, ReleaseProgress>();
  #lastNo: string | null = null;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** The releases of these users (null: everyone's) that have changed since the last look. The first look has all that have not ended. */
  async look(userIds: readonly string[] | null): Promise<ReleaseProgress[]> {
    const lastNo = (this.#lastNo ??= await readLastRelease(this.#pool));
    const found = await listProgress(this.#pool, { followed: [...this.#seen.keys()], lastNo, userIds });
    const news = found.filter((progress) => hasChanged(this.#seen.get(progress.no), progress));
    const youngest = found[0]?.no ?? lastNo;
    if (BigInt(youngest) > BigInt(lastNo)) this.#lastNo = youngest;
    this.#seen = new Map(found.filter(isFollowed).map((progress) => [progress.no, progress]));
    return news;
  }
}

/** A watcher that asks for certain deliveries does not ask for releases. */
export function concerns(filter: WatchFilter, { userId, webhookId }: ReleaseProgress): boolean {
  return (
    (filter.userId === null || filter.userId === userId) &&
    (filter.webhookIds.size === 0 || filter.webhookIds.has(webhookId)) &&
    filter.eventTypes.size === 0 &&
    filter.statuses.size === 0 &&
    filter.eventId === null
  );
}

const changing = ['state', 'reason', 'rate', 'released', 'delivered', 'failed', 'cancelled'] as const;

function hasChanged(before: ReleaseProgress | undefined, now: ReleaseProgress): boolean {
  return before === undefined || changing.some((name) => before[name] !== now[name]);
}

function isFollowed({ endedAtMs, released, delivered, failed, cancelled }: ReleaseProgress): boolean {
  if (endedAtMs === null) return true;
  return delivered + failed + cancelled < released && Date.now() < endedAtMs + FOLLOW_MS;
}
