// What a replay selects, as conditions on deliveries. The step of a replay and its preview read them from here.
import type { DeliveryStatus } from '../../domain/delivery.ts';

/** What has ended, and so can be sent again. */
export const replayableStatuses = ['failed', 'cancelled', 'delivered'] as const satisfies readonly DeliveryStatus[];
export type ReplayableStatus = (typeof replayableStatuses)[number];

/** As it is kept in `releases.filter`. Empty lists do not narrow. */
export interface ReplayFilter {
  readonly statuses: readonly ReplayableStatus[];
  readonly event_types: readonly string[];
  readonly error_codes: readonly string[];
  readonly http_statuses: readonly number[];
  readonly include_missing: boolean;
  /** Ids of deliveries above this one match. */
  readonly cursor: string;
  /** ms since 1970; null: no bound. */
  readonly since_ms: number | null;
  readonly until_ms: number | null;
}

/**
 * Rows that one statement looks at, whatever it finds: 10 to 200 ms, by how cold their pages are. What is rare in a long log takes more statements, and
 * no statement takes long.
 */
export const MAX_LOOKED_AT = 20_000;

/** The rows that may match, in words by which their own index is found; deliveries `d`. */
export function partOf(statuses: readonly ReplayableStatus[]): string {
  const [only, ...others] = statuses;
  if (others.length > 0) return 'true';
  if (only === 'failed') return 'd.failed_at is not null';
  return only === 'cancelled' ? 'd.cancelled_at is not null' : 'true';
}

type FilterValue = 'statuses' | 'event_types' | 'error_codes' | 'http_statuses' | 'made_at';

/**
 * Whether row `d` matches. What has ended since the replay was made does not: it was sent, by this replay or otherwise, and failed again.
 * @param value names a part of the filter: an array, null where it does not narrow, or when the replay was made
 */
export const matches = (
  d: string,
  value: (name: FilterValue) => string,
): string => `${d}.status = any (${value('statuses')}::text[])
      and ${d}.next_attempt_at is null
      and coalesce(${d}.failed_at, ${d}.cancelled_at, ${d}.delivered_at) <= ${value('made_at')}
      and (${value('event_types')} is null or ${d}.event_type = any (${value('event_types')}::text[]))
      and (${value('error_codes')} is null or ${d}.error_code = any (${value('error_codes')}::text[]))
      and (${value('http_statuses')} is null or ${d}.http_status = any (${value('http_statuses')}::integer[]))`;

/** The columns that `matches` reads. */
export const matchedColumns =
  'd.id, d.status, d.next_attempt_at, d.failed_at, d.cancelled_at, d.delivered_at, d.event_type, d.error_code, d.http_status';
