// The verdict: what was lost, sent twice, sent early, or not accounted for.
import type { Arrival } from './sink.ts';
import { JITTER } from '../../src/domain/retry-policy.ts';
import { RETRY_DELAY, type World } from './world.ts';

export interface Verdict {
  /** (event, webhook) pairs that were acknowledged and that no request ever reached successfully. */
  readonly lost: number;
  /** Successful requests beyond the first of their delivery. */
  readonly duplicates: number;
  /** Requests before the moment that the attempt before them had set. */
  readonly early: number;
  /** Deliveries whose attempts on record are not numbered 1 to n. */
  readonly gaps: number;
  /** Deliveries with two different bodies. */
  readonly changedBodies: number;
  readonly acknowledged: number;
  readonly requests: number;
  readonly attemptsOnRecord: number;
}

/** A request may be seen this much before its time: both clocks are read in whole milliseconds. */
const EARLY_TOLERANCE_MS = 2;

/** @param without paths whose deliveries are not expected to succeed */
export async function judge(world: World, without: readonly string[] = []): Promise<Verdict> {
  const arrivals = world.sink.arrivals;
  const byDelivery = Map.groupBy(arrivals, (arrival) => arrival.deliveryId);
  const deliveries = await world.postgres.query<{
    id: string;
    event_id: string;
    url: string;
    status: string;
    attempt_count: number;
  }>(
    `select d.id, d.event_id, w.url, d.status, d.attempt_count from deliveries d join webhook_endpoints w on w.id = d.webhook_id`,
  );
  const acknowledged = new Map(
    world.published.filter((record) => record.eventId !== null).map((record) => [record.eventId, record.deliveries]),
  );
  const owed = deliveries.filter(
    (delivery) => acknowledged.has(delivery.event_id) && !without.some((path) => delivery.url.endsWith(path)),
  );
  const succeeded = (id: string): number => (byDelivery.get(id) ?? []).filter((arrival) => isSuccess(arrival)).length;
  // An acknowledged event whose rows are gone is as lost as one that never arrived.
  const rows = Map.groupBy(deliveries, (delivery) => delivery.event_id);
  const missingRows = [...acknowledged].reduce(
    (sum, [eventId, count]) => sum + Math.max(0, count - (rows.get(eventId ?? '')?.length ?? 0)),
    0,
  );
  return {
    lost: owed.filter((delivery) => succeeded(delivery.id) === 0).length + missingRows,
    duplicates: deliveries.reduce((sum, delivery) => sum + Math.max(0, succeeded(delivery.id) - 1), 0),
    early: await earlyRequests(world, byDelivery),
    gaps: await gaps(world),
    changedBodies: [...byDelivery.values()].filter((list) => new Set(list.map((arrival) => arrival.bodySha256)).size > 1)
      .length,
    acknowledged: [...acknowledged.values()].reduce((sum, count) => sum + count, 0),
    requests: arrivals.length,
    attemptsOnRecord: deliveries.reduce((sum, delivery) => sum + delivery.attempt_count, 0),
  };
}

/** A successful request too many, and the time from the first success to the last. */
export interface Repeated {
  readonly deliveryId: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** The deliveries that succeeded more often than leases of theirs are on record as expired would explain. */
export async function unexplainedRepeats(world: World): Promise<Repeated[]> {
  const expired = await world.postgres.query<{ delivery_id: string; n: number }>(
    `select delivery_id, count(*)::integer as n from attempts where error_code = 'lease_expired' group by delivery_id`,
  );
  const leases = new Map(expired.map((row) => [row.delivery_id, row.n]));
  const found: Repeated[] = [];
  const successes = world.sink.arrivals.filter(isSuccess);
  for (const [deliveryId, list] of Map.groupBy(successes, (arrival) => arrival.deliveryId)) {
    if (list.length - 1 <= (leases.get(deliveryId) ?? 0)) continue;
    const moments = list.map((arrival) => arrival.atMs);
    found.push({ deliveryId, fromMs: Math.min(...moments), untilMs: Math.max(...moments) });
  }
  return found;
}

function isSuccess(arrival: Arrival): boolean {
  return arrival.status >= 200 && arrival.status < 300;
}

// The schedule with its smallest jitter, from the arrival of the request that failed: both moments are read from one clock, that of the
// receiver. What the log of attempts says of the moment comes from another clock, which may be off by half the time a question took.
async function earlyRequests(world: World, byDelivery: ReadonlyMap<string, readonly Arrival[]>): Promise<number> {
  const failed = await world.postgres.query<{ delivery_id: string; number: number; delay_ms: number }>(
    `select a.delivery_id, a.number,
       (${1 - JITTER} * 1000 * coalesce((w.retry_policy ->> 'retry_delay')::float8, ${RETRY_DELAY})
         * power(2, row_number() over (partition by a.delivery_id order by a.number) - 1))::float8 as delay_ms
     from attempts a join deliveries d on d.id = a.delivery_id join webhook_endpoints w on w.id = d.webhook_id
     where a.error_code is not null and a.error_code not in ('lease_expired', 'shutdown') and a.trigger = 'automatic'`,
  );
  const delays = new Map(failed.map((row) => [`${row.delivery_id} ${row.number}`, row.delay_ms]));
  let early = 0;
  for (const [deliveryId, list] of byDelivery) {
    for (const arrival of list) {
      const delayMs = delays.get(`${deliveryId} ${arrival.attempt - 1}`);
      const before = list.find(({ attempt }) => attempt === arrival.attempt - 1);
      if (delayMs === undefined || before === undefined) continue;
      if (arrival.atMs < before.atMs + delayMs - EARLY_TOLERANCE_MS) {
        early += 1;
        if (early <= 3)
          console.log(
            `early: ${deliveryId} attempt ${arrival.attempt}, ${arrival.atMs - before.atMs} ms instead of ${delayMs}`,
          );
      }
    }
  }
  return early;
}

// A first-try success has no row of its own; everything else must be numbered without a hole.
async function gaps(world: World): Promise<number> {
  const [row] = await world.postgres.query<{ n: number }>(
    `select count(*)::integer as n from deliveries d
     where d.attempt_count > 0 and not (d.attempt_count = 1 and d.status = 'delivered')
       and (select count(*) from attempts a where a.delivery_id = d.id and a.number between 1 and d.attempt_count) <> d.attempt_count`,
  );
  return row?.n ?? 0;
}
