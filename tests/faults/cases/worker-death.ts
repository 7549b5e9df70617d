// F1–F3: workers that die or freeze in the middle of a delivery.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import { LEASE, RECONCILE } from '../world.ts';

export const cases: readonly FaultCase[] = [
  {
    id: 'F1',
    title: 'a worker is killed in the middle of deliveries',
    ci: true,
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      await world.createWebhook('/slow');
      const publishing = world.publishMany(200, 50);
      const inFlight = await eventually(async () => atLeast(10, await world.metric('inflight', [world.w1])), {
        what: 'deliveries in flight',
      });
      await world.w1.kill();
      const killedAtMs = Date.now();
      const arrivedBefore = new Set(world.sink.arrivals.map((arrival) => arrival.deliveryId));
      await publishing;
      await world.settle();
      const verdict = await judge(world);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates at most what was in flight', verdict.duplicates <= inFlight, `${verdict.duplicates} of ${inFlight}`);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
      const [expired] = await world.postgres.query<{ n: number }>(
        `select count(*)::integer as n from attempts where error_code = 'lease_expired'`,
      );
      check('dead tries are on record as lease_expired', (expired?.n ?? 0) > 0, expired?.n ?? 0);
      const lastRepeat = Math.max(
        ...world.sink.arrivals
          .filter((arrival) => arrivedBefore.has(arrival.deliveryId) && arrival.atMs > killedAtMs)
          .map((arrival) => arrival.atMs - killedAtMs),
        0,
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
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      await world.createWebhook('/slow');
      await world.w2.stop();
      await world.publishMany(10, 50);
      await eventually(() => world.sink.arrivals.length === 10, { what: 'ten requests' });
      // Reads go on under this lock; no outcome can be written.
      const lock = await world.postgres.session();
      await lock.query('begin');
      await lock.query('lock table deliveries in exclusive mode');
      await eventually(() => world.sink.arrivals.every((arrival) => arrival.status === 200), { what: 'ten answers' });
      const [recorded] = await world.postgres.query<{ n: number }>(
        `select count(*)::integer as n from deliveries where status = 'delivered'`,
      );
      await world.w1.kill();
      await lock.query('rollback');
      await lock.end();
      const unrecorded = 10 - (recorded?.n ?? 0);
      await world.startProcess('worker');
      await world.settle();
      const verdict = await judge(world);
      check('lost', verdict.lost === 0, verdict.lost);
      check(
        'duplicates are exactly what was answered and not recorded',
        verdict.duplicates <= answered.size,
        `${verdict.duplicates} of ${answered.size}`,
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
      const publishing = world.publishMany(100, 50);
      const inFlight = await eventually(async () => atLeast(10, await world.metric('inflight', [world.w1])), {
        what: 'deliveries in flight',
      });
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
];

function atLeast(least: number, value: number): number | undefined {
  return value >= least ? value : undefined;
}
