// The step of a release: makes the next deliveries of a set due, as many as its pace allows.
import type { Pool } from 'pg';
import { isHeld } from '../delivery-state.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { dueNow } from './ordering-heads.ts';
import { allowance, type DueDelivery, paceColumns, pay, takeStep } from './release-pace.ts';

/** Deliveries of one step: 30 ms. Ten steps a second are more than the fastest release may do. */
export const MAX_STEP = 500;

export interface StepRequest {
  readonly releaseNo: string;
  /** No more than so many, whatever its pace allows. */
  readonly max?: number;
  /** The last pass: looks at all that is held once more, also behind the cursor. */
  readonly isLastPass?: boolean;
}

export interface Step {
  readonly due: readonly DueDelivery[];
  /** Whether its pace allowed more than there was. */
  readonly isExhausted: boolean;
}

export const NOTHING: Step = { due: [], isExhausted: false };

/**
 * Makes deliveries due in the order of their ids. The rows, the cursor, the count and what is left of the pace are one commit, so a process that
 * is killed neither skips nor repeats. Two processes that believe to lead take turns: one that finds the release locked does nothing.
 */
export async function stepRelease(pool: Pool, { releaseNo, max = MAX_STEP, isLastPass = false }: StepRequest): Promise<Step> {
  const values = [releaseNo, Math.min(max, MAX_STEP), isLastPass] as const;
  const taken = await takeStep(pool, { name: 'step-release', text: statement, values });
  return taken === null ? NOTHING : { due: taken.due, isExhausted: taken.due.length < taken.number };
}

// Without the cursor the look would pass the index entries of all that was released before: 155 ms behind 220,000 of them.
// Measured with 1,000,000 held: 123 us a delivery in steps of 50, 72 in steps of 500.
const statement = `
with place as materialized (
  select r.no, r.webhook_id, case when $3::boolean then '' else r.cursor end as cursor, ${paceColumns}
  from releases r join webhook_endpoints w on w.id = r.webhook_id cross join (select clock_timestamp() as at) t
  where r.no = $1
), ${allowance}, picked as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d
  where d.webhook_id = (select webhook_id from place) and ${isHeld} and d.id > (select cursor from place)
  order by d.id limit (select n from allowed) for update of d
), d as (
  update deliveries t set
    status = case when t.attempt_count = 0 then 'pending' else 'retrying' end,
    next_attempt_at = ${dueNow('t')},
    held_at = null,
    release_no = $1,
    changed_at = clock_timestamp()
  where t.id = any (array(select id from picked))
  returning t.*
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
), moved as (
  update releases r set
    cursor = greatest(r.cursor, (select max(id) from picked)),
    ${pay('(select count(*) from picked)')}
  from bucket where r.no = $1
)
select id, webhook_id, (extract(epoch from next_attempt_at) * 1000)::float8 from d
union all
select null, null, n from allowed`;
