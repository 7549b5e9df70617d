// How far releases are, for those who watch.
import type { Pool } from 'pg';
import type { ReplayState } from './replays.ts';

/** Releases of one look, the youngest first: as many as the leader takes steps of in a round. */
export const MAX_PROGRESS = 1000;

/** Of a hold that is drained, or of a replay. Times are in milliseconds since 1970. */
export interface ReleaseProgress {
  /** A bigint, as text. */
  readonly no: string;
  readonly id: string;
  readonly webhookId: string;
  readonly userId: string;
  readonly state: ReplayState;
  readonly reason: string | null;
  /** Deliveries a second. */
  readonly rate: number;
  readonly matched: number;
  readonly isMatchedLowerBound: boolean;
  readonly released: number;
  readonly delivered: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
}

export interface ProgressRequest {
  /** Numbers of releases that have ended perhaps, and are followed still. */
  readonly followed: readonly string[];
  /** Younger releases are of interest though they have ended. */
  readonly lastNo: string;
  /** Null: everyone's. */
  readonly userIds: readonly string[] | null;
}

export async function listProgress(pool: Pool, { followed, lastNo, userIds }: ProgressRequest): Promise<ReleaseProgress[]> {
  const { rows } = await pool.query<ReleaseProgress>({
    name: 'list-release-progress',
    text: progress,
    values: [followed, lastNo, userIds],
  });
  return rows;
}

/** The number of the youngest release. */
export async function readLastRelease(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ no: string }>('select coalesce(max(no), 0)::text as no from releases');
  return rows[0]?.no ?? '0';
}

// Three looks at indexes that hold few rows, whatever the table holds.
const progress = `
select no::text, id, webhook_id as "webhookId", user_id as "userId", state, reason, rate, matched::float8 as matched,
  is_matched_lower_bound as "isMatchedLowerBound", released::float8 as released, delivered::float8 as delivered, failed::float8 as failed,
  cancelled::float8 as cancelled, floor(extract(epoch from made_at) * 1000)::float8 as "createdAtMs",
  floor(extract(epoch from ended_at) * 1000)::float8 as "endedAtMs"
from releases
where no = any (array(
    select o.no from releases o where o.ended_at is null
    union select unnest($1::bigint[])
    union select y.no from releases y where y.no > $2::bigint))
  and ($3::text[] is null or user_id = any ($3::text[]))
order by releases.no desc limit ${MAX_PROGRESS}`;
