// Counts what a replay would select, and names the oldest of it, looking at no more of the log than half a second allows.
import type { Pool } from 'pg';
import { deliveryIdOf, matching } from '../matching.ts';
import {
  matchedColumns,
  matches,
  MAX_LOOKED_AT,
  nextRows,
  type Reading,
  readingOf,
  type ReplayFilter,
} from './replay-selection.ts';

/** ms. Enough for a million rows in memory; a preview is answered within a second. */
const MAX_LOOK_MS = 500;
const MAX_COUNTED = 100_000;
const MAX_SAMPLES = 10;

export interface PreviewRequest {
  readonly webhookId: string;
  readonly filter: ReplayFilter;
  /** Ids of deliveries below this one match. */
  readonly stop: string;
}

export interface Preview {
  readonly matched: number;
  readonly isLowerBound: boolean;
  /** Ids of the oldest deliveries that match; what is missing has none. */
  readonly samples: readonly string[];
}

interface Page {
  readonly matched: number;
  readonly looked: number;
  readonly lastId: string | null;
  readonly samples: readonly string[];
}

export async function previewReplay(pool: Pool, request: PreviewRequest): Promise<Preview> {
  const deadline = performance.now() + MAX_LOOK_MS;
  const { webhookId, filter, stop } = request;
  const { cursor } = filter;
  const text = countAgain(readingOf(filter.statuses));
  const types = orNull(filter.event_types);
  const lists = [filter.statuses, types, orNull(filter.error_codes), orNull(filter.http_statuses)];
  const again = await count(deadline, cursor, (from) => readPage(pool, text, [webhookId, from, stop, ...lists]));
  if (!filter.include_missing) return again;
  const missing = await count(deadline, asEvent(cursor), (from) =>
    readPage(pool, countMissing, [webhookId, from, asEvent(stop), types]),
  );
  return {
    matched: Math.min(MAX_COUNTED, again.matched + missing.matched),
    isLowerBound: again.isLowerBound || missing.isLowerBound || again.matched + missing.matched > MAX_COUNTED,
    samples: again.samples,
  };
}

async function count(deadline: number, cursor: string, read: (from: string) => Promise<Page>): Promise<Preview> {
  let matched = 0;
  let from = cursor;
  const samples: string[] = [];
  for (;;) {
    const page = await read(from);
    matched += page.matched;
    samples.push(...page.samples.slice(0, MAX_SAMPLES - samples.length));
    if (page.looked < MAX_LOOKED_AT || page.lastId === null) return { matched, isLowerBound: false, samples };
    if (matched >= MAX_COUNTED || performance.now() > deadline) return { matched, isLowerBound: true, samples };
    from = page.lastId;
  }
}

async function readPage(pool: Pool, text: string, values: readonly unknown[]): Promise<Page> {
  const { rows } = await pool.query<Page>(text, [...values]);
  return rows[0] as Page;
}

function orNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

function asEvent(deliveryId: string): string {
  return `event_${deliveryId.slice('delivery_'.length)}`;
}

const values = {
  statuses: '$4::text[]',
  event_types: '$5::text[]',
  error_codes: '$6::text[]',
  http_statuses: '$7::integer[]',
  made_at: 'now()',
} as const;

const countAgain = (reading: Reading): string => `
select (count(*) filter (where matches))::integer as matched, count(*)::integer as looked, max(id) as "lastId",
  coalesce((array_agg(id order by id) filter (where matches))[1:${MAX_SAMPLES}], '{}') as samples
from (
  select d.id, ${matches('d', (name) => values[name])} as matches from (
    ${nextRows(reading, matchedColumns, { webhookId: '$1', cursor: '$2', stop: '$3' })}) d) m`;

// The event is `f`, and the columns of the webhook have no alias, as `matching` wants it.
const countMissing = `
select (count(*) filter (where is_missing))::integer as matched, count(*)::integer as looked, max(id) as "lastId", '{}'::text[] as samples
from (
  select f.id, coalesce(w.is_missing, false) as is_missing from (
    select f.* from events f where f.id > $2 and f.id < $3 order by f.id limit ${MAX_LOOKED_AT}) f
  left join lateral (
    select (f.deliver_before is null or f.deliver_before > now()) and f.collapse_key is null
      and not exists (select 1 from deliveries d where d.id = ${deliveryIdOf('f.id', 'webhook_endpoints.id')}) as is_missing
    from webhook_endpoints
    where webhook_endpoints.id = $1 and (${matching.audience}) and ${matching.active} and ${matching.event_type} and ${matching.filter}
      and ($4::text[] is null or f.event_type = any ($4::text[]))
    offset 0) w on true) m`;
