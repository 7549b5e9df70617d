// The statement that ends leases in rows.
import type { Pool, PoolClient } from 'pg';
import { plainArray, textArray } from '../array-parameter.ts';
import { isHeld, isUnfinished } from '../delivery-state.ts';

export interface Release {
  readonly deliveryId: string;
  /** The lease that is ended, by its end in whole milliseconds; one that was given since is left alone. */
  readonly leasedUntilMs: number;
  /** Not to be tried before, in milliseconds since 1970; null leaves the row's own time. */
  readonly dueAtMs: number | null;
}

/**
 * Ends leases. A due time later than the row's own puts the next attempt off. It also schedules what was leased on insert. What has ended
 * stays ended.
 */
export async function releaseLeases(client: Pool | PoolClient, releases: readonly Release[]): Promise<void> {
  const rows = releases.toSorted((a, b) => (a.deliveryId < b.deliveryId ? -1 : 1));
  await client.query({
    name: 'release-leases',
    text: statement,
    values: [
      textArray(rows.map((row) => row.deliveryId)),
      plainArray(rows.map((row) => row.leasedUntilMs)),
      plainArray(rows.map((row) => row.dueAtMs)),
    ],
  });
}

// The recorder has ended most of these leases together with writing the outcome: then no row is left to write here. A row that another
// session has locked keeps its lease until that runs out, so that the others need not wait for it.
const statement = `
with free as materialized (
  select d.id, r.due_ms
  from unnest($1::text[], $2::float8[], $3::float8[]) as r(id, leased_until_ms, due_ms)
  join deliveries d on d.id = r.id and date_trunc('milliseconds', d.leased_until) = to_timestamp(r.leased_until_ms / 1000.0)
  order by d.id for no key update of d skip locked
)
update deliveries d set
  leased_until = null,
  lease_expirations = 0,
  next_attempt_at = case when ${isUnfinished} and not (${isHeld})
    then coalesce(greatest(d.next_attempt_at, to_timestamp(free.due_ms / 1000.0)), now()) end
from free where d.id = free.id`;
