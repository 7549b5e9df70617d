// Releases: what failed is replayed, and what was held is resumed, while new events come and what they stand on is killed and emptied.
import { setTimeout as wait } from 'node:timers/promises';
import type { ServiceProcess } from '../../fixtures/process.ts';
import { eventually } from '../../fixtures/eventually.ts';
import type { Check, FaultCase } from '../case.ts';
import { p99OfPublishing, quantile } from '../figures.ts';
import { unexplainedRepeats } from '../verdict.ts';
import { LEASE, type World } from '../world.ts';

/** Deliveries at the scale of 1. */
const REPLAYED = 100_000;
const HELD = 10_000;
/** A second, of the replay and of the new events beside it. */
const RATE = 500;
/** The pace is judged over so long, in milliseconds, and so long after a fault: another process leads by then, and a slow start is over. */
const WINDOW_MS = 10_000;
const UNDISTURBED_MS = 12_000;
/** New events may take so many times as long as before, and in any case so many milliseconds: a second is what a busy machine adds. */
const SLOWER = 2;
const FLOOR_MS = 100;
const AWAY_BEYOND_LEASE_MS = 2000;
/** A step makes due what a tenth of a second allows; these leave side by side, as many at once as a webhook may have in flight. */
const NEIGHBOURS = 2 * (RATE / 10) + 32;

export const cases: readonly FaultCase[] = [
  {
    id: 'replay-kills',
    title: 'a replay beside new events: the leader is killed four times, Redis emptied twice, PostgreSQL restarted',
    ci: false,
    isAlone: true,
    async run(world, check, scale) {
      const count = Math.round(REPLAYED * scale);
      const webhookId = await failedWebhook(world, count);
      await world.createWebhook('/fresh', { user_id: 'fresh' });
      const before = await world.publishMany(RATE * 10, RATE, { userId: 'fresh' });
      const { status, body } = await world.rest('POST', `/api/v1/webhooks/${webhookId}/replays`, {
        statuses: ['failed'],
        rate: RATE,
      });
      check('the replay is taken', status === 202, status);
      const load = publishUntilStopped(world);
      const faultsAtMs = await playFaults(world, count, [
        killLeader,
        flushAll,
        killLeader,
        restartDatabase,
        killLeader,
        flushAll,
        killLeader,
      ]);
      const replay = await ended(world, `/api/v1/webhooks/${webhookId}/replays/${String(body['id'])}`, count);
      const during = await load.stop();
      await world.settle(120_000);
      await checkReplay(world, check, { webhookId, count, replay });
      checkPace(world, check, faultsAtMs);
      const calm = during.filter(({ startedAtMs }) => isCalm(startedAtMs, faultsAtMs, 5000));
      const [was, is] = [p99OfPublishing(before), p99OfPublishing(calm)];
      check(`new events take at most ${SLOWER} times as long`, is <= Math.max(SLOWER * was, FLOOR_MS), `p99 ${was} → ${is} ms`);
      const accepted = during.filter((record) => record.status === 202);
      const arrived = await eventsAt(world, '/fresh');
      const lost = [...before, ...accepted].filter(({ eventId }) => eventId !== null && !arrived.has(eventId)).length;
      check('new events lost', lost === 0, `${lost} of ${before.length + accepted.length}`);
    },
  },
  {
    id: 'replay-order',
    title: 'what was held is resumed while new events come: none overtakes',
    ci: true,
    isAlone: true,
    async run(world, check, scale) {
      const count = Math.round(HELD * scale);
      const webhookId = await world.createWebhook('/held', { user_id: 'held', paused: true });
      await world.publishBacklog(count, 'held');
      const held = await world.count(`deliveries where held_at is not null and status = 'pending'`);
      check('all is held', held === count && world.sink.arrivals.length === 0, held);
      await world.rest('POST', `/api/v1/webhooks/${webhookId}/resume`, { rate: RATE });
      const fresh = await world.publishMany(Math.round(count / 10), RATE / 10, { userId: 'held' });
      await world.settle(120_000);
      const late = displacements(world, '/held');
      check('lost', world.sink.arrivals.length >= count + fresh.length, `${world.sink.arrivals.length} requests`);
      const repeats = await unexplainedRepeats(world);
      check('sent twice', repeats.length === 0, repeats.length);
      check(
        `none comes more than ${NEIGHBOURS} places behind a younger one`,
        Math.max(0, ...late) <= NEIGHBOURS,
        `most ${Math.max(0, ...late)}, 99 of 100 at most ${quantile(late, 0.99)}`,
      );
      await eventually(
        async () => {
          const { body } = await world.rest('GET', `/api/v1/webhooks/${webhookId}`);
          return body['release_id'] === '' && body['paused'] === false;
        },
        { what: 'the end of the release', deadlineMs: 30_000 },
      );
    },
  },
];

type Fault = (world: World) => Promise<void>;

/** Published while it is paused, and then marked in the database: making a hundred thousand requests fail takes longer than the replay. */
async function failedWebhook(world: World, count: number): Promise<string> {
  const webhookId = await world.createWebhook('/replayed', { user_id: 'replayed', paused: true });
  await world.publishBacklog(count, 'replayed');
  await world.postgres.query(
    `with d as (
       update deliveries set status = 'failed', held_at = null, failed_at = now(), changed_at = clock_timestamp(), attempt_count = 1,
         attempted_at = now(), duration_ms = 1, http_status = 500, error_code = 'http_status', last_trigger = 'automatic'
       where webhook_id = $1 returning id
     )
     insert into attempts (delivery_id, number, started_at, duration_ms, http_status, error_code, trigger)
     select id, 1, now(), 1, 500, 'http_status', 'automatic' from d`,
    undefined,
    [webhookId],
  );
  await world.rest('POST', `/api/v1/webhooks/${webhookId}/resume`, {});
  await eventually(async () => (await world.rest('GET', `/api/v1/webhooks/${webhookId}`)).body['release_id'] === '', {
    what: 'an empty hold to be released',
    deadlineMs: 60_000,
  });
  return webhookId;
}

/** Plays each after its share of the replay has arrived; answers when each began and ended. */
async function playFaults(world: World, count: number, faults: readonly Fault[]): Promise<number[]> {
  const moments: number[] = [];
  for (const [index, fault] of faults.entries()) {
    const due = (count * (index + 1)) / (faults.length + 1);
    await eventually(() => arrivalsAt(world, '/replayed').length >= due, {
      what: `${Math.round(due)} replayed`,
      deadlineMs: 300_000,
      intervalMs: 200,
    });
    moments.push(Date.now());
    await fault(world);
    moments.push(Date.now());
  }
  return moments;
}

/** The leader alone reports how many releases there are. One that has lost the lead while there was none may still say that. */
async function leaderOf(world: World): Promise<ServiceProcess | undefined> {
  const found = await Promise.all(
    world.running.map(async (service) => {
      const text = await fetch(service.metrics).then(
        (answer) => answer.text(),
        () => '',
      );
      return { service, running: Number(/^releases_running(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? -1) };
    }),
  );
  return found.filter(({ running }) => running >= 0).toSorted((a, b) => b.running - a.running)[0]?.service;
}

async function killLeader(world: World): Promise<void> {
  const leader = await eventually(() => leaderOf(world), { what: 'a leader', deadlineMs: 30_000 });
  await leader.kill();
  if (leader === world.api) await world.restartApi();
  else await world.startProcess('worker');
}

async function flushAll(world: World): Promise<void> {
  await world.redis.client.flushall();
}

/** Away for longer than a lease: what receivers took as it went could not be recorded while its lease lasted. */
async function restartDatabase(world: World): Promise<void> {
  await world.postgres.stop('immediate');
  await wait(LEASE * 1000 + AWAY_BEYOND_LEASE_MS);
  await world.postgres.run();
}

/** New events at the rate of the replay, one second at a time, until `stop` is called. */
function publishUntilStopped(world: World): { stop(): ReturnType<World['publishMany']> } {
  let isStopped = false;
  const loop = (async () => {
    const records = [];
    while (!isStopped) records.push(...(await world.publishMany(RATE, RATE, { userId: 'fresh' })));
    return records;
  })();
  return {
    stop() {
      isStopped = true;
      return loop;
    },
  };
}

async function ended(world: World, path: string, count: number): Promise<Record<string, unknown>> {
  return eventually(
    async () => {
      const { body } = await world.rest('GET', path).catch(() => ({ body: {} as Record<string, unknown> }));
      return body['state'] === 'completed' && body['delivered'] === count && body;
    },
    { what: 'the end of the replay', deadlineMs: 300_000, intervalMs: 500 },
  );
}

interface Replayed {
  readonly webhookId: string;
  readonly count: number;
  readonly replay: Record<string, unknown>;
}

async function checkReplay(world: World, check: Check, { webhookId, count, replay }: Replayed): Promise<void> {
  check('matched', replay['matched'] === count || replay['matched_is_lower_bound'] === true, String(replay['matched']));
  check('released exactly once', replay['released'] === count, `${String(replay['released'])} of ${count}`);
  // The first attempt is the one that failed; only a release makes one by hand. One that timed out may have been answered all the same.
  const once = await world.count(
    `deliveries d where webhook_id = '${webhookId}' and status = 'delivered' and attempt_count
       = 2 + (select count(*) from attempts a where a.delivery_id = d.id and a.number > 1 and a.error_code is not null)`,
  );
  check('each was tried once, and again only after a failure', once === count, `${once} of ${count}`);
  const failed = await world.postgres.query<{ delivery_id: string; error_code: string }>(
    `select a.delivery_id, a.error_code from attempts a join deliveries d on d.id = a.delivery_id
     where a.error_code is not null and (a.number > 1 or d.webhook_id <> '${webhookId}')`,
  );
  const explained = new Set(failed.map(({ delivery_id: id }) => id));
  // A success that is recorded late, after the lease had run out and another process had sent it too, leaves no trace of that lease.
  const repeats = (await unexplainedRepeats(world)).filter(({ deliveryId }) => !explained.has(deliveryId));
  const early = repeats.filter(({ fromMs, untilMs }) => untilMs - fromMs < LEASE * 1000);
  const codes = [...Map.groupBy(failed, ({ error_code: code }) => code)]
    .map(([code, list]) => `${code} ×${list.length}`)
    .join(', ');
  check(
    'sent twice within one lease',
    early.length === 0,
    `${early.length}, and ${repeats.length - early.length} later; failed attempts: ${codes}`,
  );
  const lost = count - new Set(arrivalsAt(world, '/replayed').map(({ deliveryId }) => deliveryId)).size;
  check('lost', lost === 0, lost);
}

/** Windows that no fault comes into, nor shortly before. */
function checkPace(world: World, check: Check, faultsAtMs: readonly number[]): void {
  const moments = arrivalsAt(world, '/replayed').map(({ atMs }) => atMs);
  const [first = 0, last = 0] = [moments[0], moments.at(-1)];
  const disturbed = [first, ...faultsAtMs];
  const paces: number[] = [];
  for (let from = first; from + WINDOW_MS < last; from += 1000) {
    if (!isCalm(from + WINDOW_MS, disturbed, UNDISTURBED_MS + WINDOW_MS)) continue;
    paces.push((moments.filter((atMs) => atMs >= from && atMs < from + WINDOW_MS).length * 1000) / WINDOW_MS);
  }
  if (paces.length === 0) return check('the pace', true, 'not judged: no ten seconds without a fault at this scale');
  const [slowest, fastest] = [Math.min(...paces), Math.max(...paces)];
  check('the pace, within a tenth', slowest >= RATE * 0.9 && fastest <= RATE * 1.1, `${slowest} to ${fastest} a second`);
}

function isCalm(atMs: number, faultsAtMs: readonly number[], afterMs: number): boolean {
  return faultsAtMs.every((faultAtMs) => atMs < faultAtMs || atMs >= faultAtMs + afterMs);
}

function arrivalsAt(world: World, path: string): World['sink']['arrivals'] {
  return world.sink.arrivals.filter((arrival) => arrival.path === path);
}

async function eventsAt(world: World, path: string): Promise<Set<string>> {
  const arrived = new Set(arrivalsAt(world, path).map(({ deliveryId }) => deliveryId));
  const rows = await world.postgres.query<{ id: string; event_id: string }>(`select id, event_id from deliveries`);
  return new Set(rows.filter(({ id }) => arrived.has(id)).map(({ event_id: eventId }) => eventId));
}

/** Of each delivery, how many younger ones arrived before it. */
function displacements(world: World, path: string): number[] {
  const first = [...new Set(arrivalsAt(world, path).map(({ deliveryId }) => deliveryId))];
  const place = new Map(first.toSorted().map((id, index) => [id, index]));
  let youngest = -1;
  return first.map((id) => {
    const own = place.get(id) ?? 0;
    youngest = Math.max(youngest, own);
    return youngest - own;
  });
}
