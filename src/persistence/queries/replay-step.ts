// The steps of a replay: makes the next of what it selects due, and the next of what was never made.
import type { Pool } from 'pg';
import { deliveryIdOf, matching } from '../matching.ts';
import { closingBelow, noteChanges, noteInserts, wasOf } from './late-changes.ts';
import { keepAttempt } from './keep-attempt.ts';
import { isNewest, lockHeads } from './ordering-heads.ts';
import { allowance, paceColumns, pay, type StepStatement, takeStep } from './release-pace.ts';
import { MAX_STEP, NOTHING, type Step } from './release-step.ts';
import {
  matchedColumns,
  matches,
  MAX_LOOKED_AT,
  nextRows,
  type Reading,
  readingOf,
  type ReplayFilter,
} from './replay-selection.ts';

export interface ReplayStepRequest {
  readonly releaseNo: string;
  readonly filter: ReplayFilter;
  readonly max?: number;
}

/**
 * Makes deliveries due in the order of their ids: rows, cursor, count and pace are one commit, as in `stepRelease`. A caller that retries one by hand
 * meanwhile is not undone: the conditions hold once more when the row is locked. `isExhausted`: nothing is left, and the cursor has come to its end.
 */
export function stepReplay(pool: Pool, { releaseNo, filter, max = MAX_STEP }: ReplayStepRequest): Promise<Step> {
  const reading = readingOf(filter.statuses);
  return step(pool, {
    name: `step-replay-${reading}`,
    text: statements[reading],
    values: [releaseNo, Math.min(max, MAX_STEP)],
  });
}

/**
 * Makes the deliveries that events of the past have none of, though the webhook would get them today. The id of a delivery follows from event and webhook,
 * so it is looked up, and cannot be made twice.
 */
export function stepMissing(pool: Pool, { releaseNo, max = MAX_STEP }: Omit<ReplayStepRequest, 'filter'>): Promise<Step> {
  return step(pool, { name: 'step-missing', text: makeMissing, values: [releaseNo, Math.min(max, MAX_STEP)] });
}

async function step(pool: Pool, statement: StepStatement): Promise<Step> {
  const taken = await takeStep(pool, statement);
  return taken === null ? NOTHING : { due: taken.due, isExhausted: taken.number === 1 };
}

const listOf = (name: string, type: string): string =>
  `nullif(array(select jsonb_array_elements_text(r.filter -> '${name}'))::${type}[], '{}') as ${name}`;

const place = (stop: string): string => `place as materialized (
  select r.webhook_id, r.cursor, ${stop} as stop, r.made_at, ${listOf('statuses', 'text')}, ${listOf('event_types', 'text')},
    ${listOf('error_codes', 'text')}, ${listOf('http_statuses', 'integer')}, ${paceColumns}
  from releases r join webhook_endpoints w on w.id = r.webhook_id cross join (select clock_timestamp() as at) t
  where r.no = $1
), ${allowance}`;

// Where a look that found less than was allowed has come to: behind the last row of it, or null at the end of all.
const reach = (found: string, lookedAt: string): string => `case
    when (select count(*) from ${found}) >= (select n from allowed) then coalesce((select max(${found}.at_id) from ${found}), (select cursor from place))
    else (select l.id from (${lookedAt}) l order by l.id offset ${MAX_LOOKED_AT - 1} limit 1) end`;

const moved = (taken: string): string => `moved as (
  update releases r set cursor = coalesce((select id from reach), (select stop from place)), ${pay(`(select count(*) from ${taken})`)}
  from bucket where r.no = $1
)`;

const due = (from: string): string => `select id, webhook_id, (extract(epoch from next_attempt_at) * 1000)::float8 from ${from}
union all
select null, null, case when (select id from reach) is null then 1 else 0 end`;

const fromPlace = (name: string): string => `(select ${name} from place)`;

// For the planner, which looks an array up in every partition.
const isNear = (d: string): string => `${d}.id > ${fromPlace('cursor')} and ${d}.id <= (select max(at_id) from found)`;

const sendAgain = (reading: Reading): string => {
  const walk = { webhookId: fromPlace('webhook_id'), cursor: fromPlace('cursor'), stop: fromPlace('stop') };
  const looked = (columns: string): string => nextRows(reading, columns, walk);
  return `
with ${place('r.stop')}, found as materialized (
  select x.id as at_id from (${looked(matchedColumns)}) x
  where ${matches('x', fromPlace)} order by x.id limit (select n from allowed)
), reach as materialized (
  select ${reach('found', looked('d.id'))} as id
), heads as materialized (
  ${lockHeads(`select d.webhook_id, d.ordering_key from deliveries d where d.id = any (array(select at_id from found)) and ${isNear('d')} and d.collapse_key is not null`)}
), picked as materialized (
  select d.*, ${wasOf('d')} as was from deliveries d
  where (select count(*) from heads) >= 0 and d.id = any (array(select at_id from found)) and ${isNear('d')} and ${matches('d', fromPlace)} and ${isNewest('d')} order by d.id for update of d
), kept as (
  ${keepAttempt('picked')}
), d as (
  update deliveries t set
    status = case when t.attempt_count = 0 then 'pending' else 'retrying' end,
    next_trigger = 'manual',
    next_attempt_at = now(),
    held_at = null,
    release_no = $1,
    failed_at = null,
    cancelled_at = null,
    changed_at = clock_timestamp()
  where t.id = any (array(select id from picked)) and ${isNear('t')}
  returning t.*
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
), ${moved('picked')}
${due('d')}`;
};

/** Made once: a step comes each 100 ms. */
const statements: Readonly<Record<Reading, string>> = {
  failed: sendAgain('failed'),
  cancelled: sendAgain('cancelled'),
  failed_or_cancelled: sendAgain('failed_or_cancelled'),
  all: sendAgain('all'),
};

/** The id of an event of the same moment as this one of a delivery. */
export const eventId = (deliveryId: string): string => `'event_' || substr(${deliveryId}, ${'delivery_'.length + 1})`;

// The event is `f`, and the columns of the webhook have no alias, as `matching` wants it.
const events = (columns: string): string => `select ${columns} from events f
      where f.id > ${fromPlace('cursor')} and f.id < ${fromPlace('stop')} order by f.id limit ${MAX_LOOKED_AT}`;

const makeMissing = `
with ${place(eventId('r.stop'))}, found as materialized (
  select f.id as at_id, f.event_type, f.deliver_before, w.webhook_id, w.user_id, ${deliveryIdOf('f.id', 'w.webhook_id')} as id
  from (${events('f.*')}) f cross join lateral (
    select webhook_endpoints.id as webhook_id, webhook_endpoints.user_id from webhook_endpoints
    where webhook_endpoints.id = ${fromPlace('webhook_id')} and (${matching.audience}) and ${matching.active} and ${matching.event_type} and ${matching.filter}
      and (${fromPlace('event_types')} is null or f.event_type = any (${fromPlace('event_types')}::text[]))
    offset 0
  ) w
  where (f.deliver_before is null or f.deliver_before > now()) and f.collapse_key is null
    and not exists (select 1 from deliveries d where d.id = ${deliveryIdOf('f.id', 'w.webhook_id')})
  order by f.id limit (select n from allowed)
), reach as materialized (
  select ${reach('found', events('f.id'))} as id
), d as (
  insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, release_no, changed_at, deliver_before)
  select id, at_id, webhook_id, user_id, event_type, now(), $1, clock_timestamp(), deliver_before from found
  on conflict do nothing
  returning id, webhook_id, user_id, event_type, next_attempt_at
), noted as (
  ${noteInserts('from d')}
), ${moved('d')}
${due('d')}`;
