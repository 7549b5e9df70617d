// `recovery`: processes that die, freeze or lose the database under load; what they had leased is tried within ten seconds, with the leases of production.
import { setTimeout as wait } from 'node:timers/promises';
import type { ServiceProcess } from '../../fixtures/process.ts';
import { eventually } from '../../fixtures/eventually.ts';
import type { Check, FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import type { World } from '../world.ts';

const RECOVERED_WITHIN_MS = 10_000;
/** Published in a second, spread over the webhooks; each batch goes to one process after the other. */
const PER_SECOND = 500;
const BATCH = 25;
const WEBHOOKS = 10;
/** Half of the receivers take so long to answer: 16 at a time are 64 a second, and 50 come. */
const SLOW_MS = 250;
/** Longer than the lease and the sweep. */
const FROZEN_MS = 60_000;
/** As in production: without the rescue, what a dead process had leased waits for 45 to 75 seconds. */
const env = { WEBHOOK_TIMEOUT: '30', WEBHOOK_LEASE: '45', WEBHOOK_RECONCILE_INTERVAL: '30' };

export const cases: readonly FaultCase[] = [
  recoveryCase('recovery-kill-short', 'the only process is killed twice under load', true, (world, check) =>
    killAgainAndAgain(world, check, 2),
  ),
  recoveryCase('recovery-kill', 'the only process is killed five times under load', false, (world, check) =>
    killAgainAndAgain(world, check, 5),
  ),
  recoveryCase('recovery-leader', 'of three processes the leader is killed', false, (world, check) =>
    killSome(world, check, 1),
  ),
  recoveryCase('recovery-two', 'of three processes two are killed together, the leader among them', false, (world, check) =>
    killSome(world, check, 2),
  ),
  recoveryCase('recovery-freeze', 'a process freezes for a minute: it keeps its leases until they end', false, freeze),
  recoveryCase(
    'recovery-database',
    'PostgreSQL restarts, no process is taken for dead, and then a process dies',
    false,
    restartDatabase,
  ),
];

function recoveryCase(id: string, title: string, ci: boolean, play: (world: World, check: Check) => Promise<void>): FaultCase {
  return {
    id,
    title,
    ci,
    isAlone: true,
    env,
    startsProcesses: false,
    async run(world, check) {
      world.api = await world.startProcess('all');
      for (let n = 0; n < WEBHOOKS; n += 1) {
        if (n % 2 === 0) world.sink.behave(`/hook${n}`, { statuses: [200], delayMs: SLOW_MS });
        await world.createWebhook(`/hook${n}`, { user_id: `user${n}` });
      }
      await play(world, check);
      await world.settle();
      const verdict = await judge(world);
      const expired = await world.count(`attempts where error_code = 'lease_expired'`);
      check('lost', verdict.lost === 0, `${verdict.lost} of ${verdict.acknowledged}`);
      check(
        'duplicates at most the lost tries on record',
        verdict.duplicates <= expired,
        `${verdict.duplicates} of ${expired}`,
      );
      check('attempt gaps, or an attempt recorded twice', verdict.gaps === 0, verdict.gaps);
      check('no end of a holder is left unfinished', (await world.count('holders where ended_at is not null')) === 0, '0');
    },
  };
}

/** Publishes to these processes in turn until it is stopped; what was acknowledged is in the book. */
function startLoad(world: World, processes: readonly ServiceProcess[]): () => Promise<void> {
  let isStopped = false;
  const calls = new Set<Promise<void>>();
  const publish = async (api: ServiceProcess, number: number): Promise<void> => {
    const events = Array.from({ length: BATCH }, (_, n) => ({
      event_type: 'order.created',
      data: { order_id: `${number}-${n}` },
      audience: { user_ids: [`user${n % WEBHOOKS}`] },
    }));
    const answer = await world.rest('POST', '/api/v1/events/batch', { events }, api).catch(() => null);
    const results = (answer?.body['results'] ?? []) as { published?: { event_id: string; deliveries: number } }[];
    for (const { published } of results) {
      if (published === undefined) continue;
      const { event_id: eventId, deliveries } = published;
      world.published.push({ key: eventId, startedAtMs: 0, durationMs: 0, status: 202, eventId, deliveries });
    }
  };
  const loop = (async () => {
    for (let number = 0; !isStopped; number += 1) {
      const api = processes[number % processes.length];
      if (api !== undefined) {
        const call = publish(api, number);
        calls.add(call);
        void call.finally(() => calls.delete(call));
      }
      await wait((1000 * BATCH) / PER_SECOND);
    }
  })();
  return async () => {
    isStopped = true;
    await loop;
    await Promise.all(calls);
  };
}

/**
 * What is unfinished at this moment comes to its end in time.
 * @param startMs how long it took until there was a process again: a busy machine needs many seconds for that
 */
async function checkRecovery(world: World, check: Check, what: string, sinceMs: number, startMs = 0): Promise<void> {
  const open = await world.postgres.query<{ id: string }>(
    `select id from deliveries where status in ('pending', 'retrying') and created_at <= now()`,
  );
  const ids = open.map(({ id }) => id);
  const isOver = async (): Promise<boolean> => {
    const rows = await world.postgres.query(
      `select 1 from deliveries where id = any ($1) and status in ('pending', 'retrying') limit 1`,
      undefined,
      [ids],
    );
    return rows.length === 0;
  };
  await eventually(isOver, { what, deadlineMs: 90_000, intervalMs: 50 });
  const tookMs = performance.now() - sinceMs;
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  check(
    `${what}: over within ten seconds, the start of a process aside`,
    tookMs - startMs <= RECOVERED_WITHIN_MS,
    `${ids.length} in ${seconds(tookMs)} s, ${seconds(startMs)} s of it the start`,
  );
}

async function killAgainAndAgain(world: World, check: Check, kills: number): Promise<void> {
  for (let kill = 1; kill <= kills; kill += 1) {
    const stop = startLoad(world, [world.api]);
    await wait(4000);
    const killed = world.api.kill();
    const killedAt = performance.now();
    await Promise.all([killed, stop()]);
    const port = new URL(world.api.http).port;
    world.api = await world.startProcess('all', { SERVER_PORT: port });
    await checkRecovery(world, check, `kill ${kill}`, killedAt, performance.now() - killedAt);
  }
}

/** The process that was there first leads. */
async function killSome(world: World, check: Check, count: number): Promise<void> {
  const first = world.api;
  const others = [await world.startProcess('all'), await world.startProcess('all')];
  const all = [first, ...others];
  const stop = startLoad(world, all);
  await wait(4000);
  const killing = all.slice(0, count).map((dying) => dying.kill());
  const killedAt = performance.now();
  await Promise.all(killing);
  await checkRecovery(world, check, `${count} of three killed`, killedAt);
  await stop();
}

async function freeze(world: World, check: Check): Promise<void> {
  const freezing = await world.startProcess('all');
  const stop = startLoad(world, [world.api, freezing]);
  await wait(4000);
  freezing.signal('SIGSTOP');
  const before = await world.postgres.query<{ id: string }>('select id from holders order by id');
  await wait(1000);
  void stop();
  await wait(10_000);
  const after = await world.postgres.query<{ id: string }>('select id from holders where ended_at is null order by id');
  check(
    'who is frozen keeps its number',
    JSON.stringify(after) === JSON.stringify(before),
    `${after.length} of ${before.length}`,
  );
  const expired = await world.count(`attempts where error_code = 'lease_expired'`);
  check('and its deliveries, as long as it leases them', expired === 0, expired);
  await wait(FROZEN_MS - 11_000);
  freezing.signal('SIGCONT');
  await world.settle(90_000);
}

async function restartDatabase(world: World, check: Check): Promise<void> {
  const dying = await world.startProcess('all');
  const holders = (): Promise<{ id: string }[]> => world.postgres.query<{ id: string }>('select id from holders order by id');
  const stop = startLoad(world, [world.api, dying]);
  await wait(3000);
  const before = await holders();
  await world.postgres.restart('immediate');
  await eventually(async () => (await world.count(`pg_stat_activity where application_name like '% holder %'`)) === 2, {
    what: 'both to be back',
    deadlineMs: 30_000,
  });
  await wait(4000);
  const after = await holders();
  check(
    'no process was taken for dead',
    JSON.stringify(after) === JSON.stringify(before),
    `${after.length} of ${before.length}`,
  );
  const killed = dying.kill();
  const killedAt = performance.now();
  await killed;
  await checkRecovery(world, check, 'one killed after it', killedAt);
  await stop();
}
