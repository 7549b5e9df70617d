// F1–F3 and F37: workers that die or freeze in the middle of a delivery.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import { LEASE, RECONCILE, type World } from '../world.ts';

/** The default of WEBHOOK_ENDPOINT_CONCURRENCY. */
const ENDPOINT_CONCURRENCY = 16;

export const cases: readonly FaultCase[] = [
  {
    id: 'F1',
    title: 'a worker is killed in the middle of deliveries',
    ci: true,
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      await world.createWebhook('/slow');
      await world.createWebhook('/ok', { user_id: 'others' });
      const inFlight = await saturate(world);
      const publishing = world.publishMany(200, 50, { userId: 'others' });
      await world.w1.kill();
      const killedAtMs = Date.now();
      await publishing;
      await world.settle();
      const verdict = await judge(world);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates at most what was in flight', verdict.duplicates <= inFlight, `${verdict.duplicates} of ${inFlight}`);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
      const died = await world.postgres.query<{ delivery_id: string; number: number }>(
        `select delivery_id, number from attempts where error_code = 'lease_expired'`,
      );
      check('dead tries are on record as lease_expired', died.length > 0, died.length);
      const again = new Set(died.map((row) => `${row.delivery_id} ${row.number + 1}`));
      const lastRepeat = Math.max(
        ...world.sink.arrivals
          .filter((arrival) => again.has(`${arrival.deliveryId} ${arrival.attempt}`))
          .map((arrival) => arrival.atMs - killedAtMs),
      );
      check(
        `delivered again within ${LEASE + RECONCILE + 2} s`,
        lastRepeat <= (LEASE + RECONCILE + 2) * 1000,
        `${lastRepeat} ms`,
      );
    },
  },
  {
    id: 'F2',
    title: 'a worker is killed after the receiver answered, before the outcome is written',
    ci: true,
    // On a busy machine no attempt may run into its deadline: it would not be answered at all.
    env: { WEBHOOK_TIMEOUT: '10', WEBHOOK_LEASE: '12' },
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 700 });
      await world.createWebhook('/slow');
      await world.w2.stop();
      await world.publishMany(10, 50);
      await eventually(() => world.sink.arrivals.length === 10, { what: 'ten requests' });
      // Reads go on under this lock; no outcome can be written.
      const lock = await world.postgres.session();
      await lock.query('begin');
      await lock.query('lock table deliveries in exclusive mode');
      await eventually(() => world.sink.arrivals.every((arrival) => arrival.status === 200), {
        what: 'ten answers',
      });
      // Asked by other sessions: a transaction sees the sessions as they were when it first asked.
      await eventually(
        async () => (await world.postgres.query(`select 1 from pg_stat_activity where wait_event_type = 'Lock'`)).length > 0,
        { what: 'an outcome that waits for the lock' },
      );
      const recorded = await lock.query(`select 1 from deliveries where status = 'delivered'`);
      const unrecorded = 10 - (recorded.rowCount ?? 0);
      await world.w1.kill();
      // The server would still carry out what the dead process had asked for: its sessions die with it. Those of the API do too, which opens others.
      const { rows: own } = await lock.query<{ pid: number }>('select pg_backend_pid() as pid');
      const ended = await world.postgres.query<{ pid: number }>(
        `select pid, pg_terminate_backend(pid) from pg_stat_activity
         where backend_type = 'client backend' and pid not in (pg_backend_pid(), ${own[0]?.pid})`,
      );
      const pids = ended.map(({ pid }) => pid).join();
      await eventually(
        async () => (await world.postgres.query(`select 1 from pg_stat_activity where pid in (${pids})`)).length === 0,
        { what: 'the end of its sessions' },
      );
      await lock.query('rollback');
      await lock.end();
      await world.startProcess('worker');
      await world.settle();
      const verdict = await judge(world);
      check('lost', verdict.lost === 0, verdict.lost);
      check(
        'duplicates are exactly what was answered and not recorded',
        unrecorded > 0 && verdict.duplicates === unrecorded,
        `${verdict.duplicates} of ${unrecorded}`,
      );
      check('the same body each time', verdict.changedBodies === 0, verdict.changedBodies);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
    },
  },
  {
    id: 'F3',
    title: 'a worker freezes past its leases and comes back',
    ci: true,
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      await world.createWebhook('/slow');
      await world.createWebhook('/ok', { user_id: 'others' });
      const inFlight = await saturate(world);
      const publishing = world.publishMany(100, 50, { userId: 'others' });
      world.w1.signal('SIGSTOP');
      await publishing;
      await wait(2 * LEASE * 1000);
      world.w1.signal('SIGCONT');
      await world.settle();
      const stale = await eventually(async () => (await world.metric('stale_result_total', [world.w1])) || undefined, {
        what: 'stale results',
      }).catch(() => 0);
      const verdict = await judge(world);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates at most what was in flight', verdict.duplicates <= inFlight, `${verdict.duplicates} of ${inFlight}`);
      check('results under a lost lease were refused', stale > 0, `${stale} of ${inFlight} in flight`);
      const [undone] = await world.postgres.query<{ n: number }>(
        `select count(*)::integer as n from deliveries where status <> 'delivered'`,
      );
      check('nothing that was delivered became undelivered', undone?.n === 0, undone?.n ?? 0);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
    },
  },
  {
    id: 'F37',
    title: 'a process that sends what it commits is killed, and another freezes past its leases',
    ci: true,
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      await world.createWebhook('/slow');
      await world.createWebhook('/also-slow', { user_id: 'others' });
      world.sink.behave('/also-slow', { statuses: [200], delayMs: 1000 });
      const [dying, freezing] = [await world.startProcess('all'), await world.startProcess('all')];
      await Promise.all(
        Array.from({ length: 3 * ENDPOINT_CONCURRENCY }, (_, n) =>
          n % 2 === 0 ? world.publish({ api: dying }) : world.publish({ api: freezing, userId: 'others' }),
        ),
      );
      const inFlight = await eventually(
        async () => {
          const sending = await world.metric('inflight', [dying, freezing]);
          const unanswered = world.sink.arrivals.filter((arrival) => arrival.status === 0).length;
          return sending > ENDPOINT_CONCURRENCY && unanswered >= sending ? sending : undefined;
        },
        { what: 'deliveries in flight in both', deadlineMs: 20_000 },
      );
      const claimed = await world.metric('deliveries_leased_total', [dying, freezing]);
      freezing.signal('SIGSTOP');
      await dying.kill();
      await wait(2 * LEASE * 1000);
      freezing.signal('SIGCONT');
      await world.settle();
      const verdict = await judge(world);
      check('most were sent straight from their commit', claimed < ENDPOINT_CONCURRENCY, `${claimed} claimed`);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates at most what was in flight', verdict.duplicates <= inFlight, `${verdict.duplicates} of ${inFlight}`);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
      const died = await world.count(`attempts where error_code = 'lease_expired'`);
      check('dead tries are on record as lease_expired', died > 0, died);
    },
  },
];

/** Fills every place that the slow webhook has in the first worker, so that what is in flight there is known. */
async function saturate(world: World): Promise<number> {
  await world.publishBacklog(4 * ENDPOINT_CONCURRENCY);
  return eventually(
    async () => {
      const [inFirst, inBoth] = await Promise.all([
        world.metric('inflight', [world.w1]),
        world.metric('inflight', [world.w1, world.w2]),
      ]);
      // Counted as in flight before it is sent: it must have arrived, or what happens to the worker happens to nothing.
      const unanswered = world.sink.arrivals.filter((arrival) => arrival.status === 0).length;
      return inFirst >= ENDPOINT_CONCURRENCY && unanswered >= inBoth ? inFirst : undefined;
    },
    { what: 'deliveries in flight', deadlineMs: 20_000 },
  );
}
