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

/** By which indexes a selection is read: each has its own statement. */
export type Reading = 'failed' | 'cancelled' | 'failed_or_cancelled' | 'all';

export function readingOf(statuses: readonly ReplayableStatus[]): Reading {
  // No index holds delivered ones alone.
  if (statuses.includes('delivered')) return 'all';
  if (!statuses.includes('cancelled')) return 'failed';
  return statuses.includes('failed') ? 'failed_or_cancelled' : 'cancelled';
}

/** Conditions on deliveries `d` that share no row, in words by which the planner finds their index. */
const partsOf: Record<Reading, readonly string[]> = {
  failed: ['d.failed_at is not null'],
  cancelled: ['d.cancelled_at is not null'],
  // A late outcome may leave both on a row.
  failed_or_cancelled: ['d.failed_at is not null', 'd.cancelled_at is not null and d.failed_at is null'],
  all: ['true'],
};

export interface Walk {
  readonly webhookId: string;
  /** Exclusive. */
  readonly cursor: string;
  /** Exclusive. */
  readonly stop: string;
}

/** The next rows of a selection that may match, in the order of their ids: `max` of them at the most, read from each index in its order. */
export function nextRows(reading: Reading, columns: string, { webhookId, cursor, stop }: Walk, max = MAX_LOOKED_AT): string {
  const parts = partsOf[reading].map(
    (part) => `select ${columns} from deliveries d
      where d.webhook_id = ${webhookId} and ${part} and d.id > ${cursor} and d.id < ${stop}
      order by d.id limit ${max}`,
  );
  if (parts.length === 1) return parts.join();
  return `select u.* from (${parts.map((part) => `(${part})`).join(' union all ')}) u order by u.id limit ${max}`;
}

type FilterValue = 'statuses' | 'event_types' | 'error_codes' | 'http_statuses' | 'made_at';

/**
 * Whether row `d` matches. What has expired is not sent any more, nor what a newer event with its collapse key has followed. What has ended since the replay was made does not: it was sent, by this replay or otherwise, and failed again.
 * @param value names a part of the filter: an array, null where it does not narrow, or when the replay was made
 */
export const matches = (
  d: string,
  value: (name: FilterValue) => string,
): string => `${d}.status = any (${value('statuses')}::text[])
      and ${d}.next_attempt_at is null
      and (${d}.deliver_before is null or ${d}.deliver_before > now())
      and (${d}.collapse_key is null or not exists (select from collapse_heads h where h.webhook_id = ${d}.webhook_id and h.ordering_key = ${d}.ordering_key
        and h.event_type = ${d}.event_type and h.collapse_key = ${d}.collapse_key and h.newest_id <> ${d}.id))
      and coalesce(${d}.failed_at, ${d}.cancelled_at, ${d}.delivered_at) <= ${value('made_at')}
      and (${value('event_types')} is null or ${d}.event_type = any (${value('event_types')}::text[]))
      and (${value('error_codes')} is null or ${d}.error_code = any (${value('error_codes')}::text[]))
      and (${value('http_statuses')} is null or ${d}.http_status = any (${value('http_statuses')}::integer[]))`;

/** The columns that `matches` reads. */
export const matchedColumns =
  'd.id, d.status, d.next_attempt_at, d.failed_at, d.cancelled_at, d.delivered_at, d.event_type, d.error_code, d.http_status, d.deliver_before, d.webhook_id, d.ordering_key, d.collapse_key';
