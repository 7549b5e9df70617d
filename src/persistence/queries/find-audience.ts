// The webhooks that an event could be for, with what each rule of matching says, before anything is written.
import type { Pool } from 'pg';
import { matchingRules, type MatchingRule } from '../../domain/delivery-rules.ts';
import { textArray } from '../array-parameter.ts';
import { isSubscribedTo, matching } from '../matching.ts';

/** Webhooks of each kind that one answer names: those that match, and those that do not. */
const MAX_NAMED = 1000;

export interface Candidate {
  readonly webhookId: string;
  readonly matches: Readonly<Record<MatchingRule, boolean>>;
}

/** Those that match first, each kind by its id. Of a broadcast only those that are subscribed to its type. */
export async function findAudience(
  pool: Pool,
  event: {
    readonly eventType: string;
    readonly data: string;
    readonly userIds: readonly string[];
    readonly broadcast: boolean;
  },
): Promise<Candidate[]> {
  const { rows } = await pool.query<{ webhookId: string } & Record<MatchingRule, boolean>>({
    name: 'find-audience',
    text: statement,
    values: [event.eventType, textArray(event.userIds), event.broadcast, event.data],
  });
  return rows.map(({ webhookId, ...matches }) => ({ webhookId, matches }));
}

/** By the users or by the type of the event, each of which has an index. */
const lookUp = (events: string, webhooks: string): string => `
  (select w.* from f cross join lateral (
    select id, ${matchingRules.map((rule) => `(${matching[rule]}) as ${rule}`).join(', ')}
    from webhook_endpoints where deleted_at is null and ${webhooks}
    offset 0
  ) w
  where ${events} order by w.id limit ${2 * MAX_NAMED})`;

const rules = matchingRules.join(', ');
const all = matchingRules.join(' and ');

const statement = `
with f as materialized (
  select $1::text as event_type, $2::text[] as user_ids, $3::boolean as broadcast, $4::text as data
), candidates as materialized (
  ${lookUp('not f.broadcast', `user_id = any (f.user_ids) and scope = 'user'`)}
  union all
  ${lookUp('f.broadcast', `${isSubscribedTo('f.event_type')} and scope = 'user'`)}
  union all
  ${lookUp('true', `${isSubscribedTo('f.event_type')} and scope = 'platform'`)}
)
(select id as "webhookId", ${rules} from candidates where ${all} order by id limit ${MAX_NAMED})
union all
(select id, ${rules} from candidates where not (${all}) order by id limit ${MAX_NAMED})`;
