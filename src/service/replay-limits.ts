// How many replays may be open, and which stand in each other's way.
import type { EntityManager } from '@mikro-orm/postgresql';
import { ServiceError } from '../domain/errors.ts';
import type { ReplayFilter } from '../persistence/queries/replay-selection.ts';
import type { ReplayRow } from '../persistence/queries/replays.ts';

/** Replays of one webhook at a time that have not ended. They share its receiver; more would only be slower each. */
const MAX_OPEN_OF_WEBHOOK = 5;
/** Of one user. A leader makes some 600 steps a second for all of them. */
const MAX_OPEN_OF_USER = 20;

/** One call at a time for each of these users: two that both see room for one more would both take it. */
export async function lockReplaysOf(transaction: EntityManager, userIds: readonly string[]): Promise<void> {
  await transaction.execute(
    `select pg_advisory_xact_lock(hashtextextended('replays of ' || u.id, 0))
     from (select distinct jsonb_array_elements_text(?::jsonb) as id order by 1) u`,
    [JSON.stringify(userIds)],
  );
}

/** Throws `replay_exists` with the id of one that has not ended, and `replay_limit_reached`. */
export function refuseSecond(
  filter: ReplayFilter,
  { webhookId, userId }: { readonly webhookId: string; readonly userId: string },
  open: readonly ReplayRow[],
): void {
  const ofWebhook = open.filter((replay) => replay.webhookId === webhookId);
  const same = ofWebhook.find((replay) => isSame(replay.filter, filter));
  if (same !== undefined) throw exists(same, 'with this filter');
  // Nothing in a delivered row says that another replay is about to send it.
  const sends = filter.statuses.includes('delivered');
  const other = sends ? ofWebhook.find((replay) => replay.filter.statuses.includes('delivered')) : undefined;
  if (other !== undefined) throw exists(other, 'that sends delivered ones again');
  if (ofWebhook.length >= MAX_OPEN_OF_WEBHOOK) throw tooMany(`${MAX_OPEN_OF_WEBHOOK} replays of this webhook`);
  if (open.filter((replay) => replay.userId === userId).length >= MAX_OPEN_OF_USER)
    throw tooMany(`${MAX_OPEN_OF_USER} replays of this user`);
}

function isSame(one: ReplayFilter, other: ReplayFilter): boolean {
  return (Object.keys(one) as (keyof ReplayFilter)[]).every((name) => String(one[name]) === String(other[name]));
}

function exists({ id }: ReplayRow, which: string): ServiceError {
  const message = `A replay ${which} has not ended: ${id}. Wait for its end, or cancel it.`;
  return new ServiceError('replay_exists', message, { violations: [{ field: 'replay_id', message: id }] });
}

function tooMany(what: string): ServiceError {
  return new ServiceError('replay_limit_reached', `${what} have not ended, as many as may run; wait for one, or cancel it.`);
}
