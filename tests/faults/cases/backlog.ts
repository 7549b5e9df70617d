// F27, F29–F31: large backlogs, noisy neighbours, and machines that are too small.
import { execFile, spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { latencies, quantile, watchProcesses } from '../figures.ts';
import { judge } from '../verdict.ts';
import type { World } from '../world.ts';

const run = promisify(execFile);
const WEBHOOKS = 4;
const BACKLOG = 100_000;
/** So many that two workers are busy with them for longer than it takes to kill one twice. */
const BACKLOG_UNDER_KILLS = 300_000;
const KILL_INTERVAL_MS = 20_000;
const DRAIN_MS = 600_000;

export const cases: readonly FaultCase[] = [
  {
    id: 'F27',
    title: 'a backlog of 100,000, and one of 300,000 under kill -9 every 20 s',
    ci: false,
    async run(world, check) {
      await Promise.all([world.w1.stop(), world.w2.stop()]);
      await backlog(world, BACKLOG);
      [world.w1, world.w2] = await Promise.all([world.startProcess('worker'), world.startProcess('worker')]);
      const startedAt = performance.now();
      const watching = watchProcesses(() => world.running);
      await world.settle(DRAIN_MS);
      const tookMs = performance.now() - startedAt;
      const peaks = await watching.stop();
      const calm = await judge(world);
      check(
        'drained within 10 min',
        tookMs <= DRAIN_MS,
        `${(tookMs / 1000).toFixed(0)} s, ${((BACKLOG * 1000) / tookMs).toFixed(0)}/s`,
      );
      check('resident memory of each process at most 512 MB', peaks.rssMb <= 512, `${peaks.rssMb.toFixed(0)} MB`);
      check('event loop p99 at most 200 ms', peaks.lagMs <= 200, `${peaks.lagMs.toFixed(0)} ms`);
      check('lost', calm.lost === 0 && calm.acknowledged === BACKLOG, `${calm.lost} of ${calm.acknowledged}`);
      check('duplicates', calm.duplicates === 0, calm.duplicates);
      await Promise.all([world.w1.stop(), world.w2.stop()]);
      await backlog(world, BACKLOG_UNDER_KILLS, false);
      [world.w1, world.w2] = await Promise.all([world.startProcess('worker'), world.startProcess('worker')]);
      let kills = 0;
      let inFlight = 0;
      const stopping = new AbortController();
      const killing = (async () => {
        while (!stopping.signal.aborted) {
          await wait(KILL_INTERVAL_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
          if (stopping.signal.aborted) return;
          const victim = kills % 2 === 0 ? world.w1 : world.w2;
          inFlight += await world.metric('inflight', [victim]).catch(() => 0);
          await victim.kill();
          kills += 1;
          const next = await world.startProcess('worker');
          if (victim === world.w1) world.w1 = next;
          else world.w2 = next;
        }
      })();
      await world.settle(DRAIN_MS);
      stopping.abort();
      await killing;
      const verdict = await judge(world);
      const expired = await world.count(`attempts where error_code = 'lease_expired'`);
      check('killed', kills > 0, kills);
      check(
        'lost',
        verdict.lost === 0 && verdict.acknowledged === BACKLOG + BACKLOG_UNDER_KILLS,
        `${verdict.lost} of ${verdict.acknowledged}`,
      );
      check(
        'duplicates at most the leases expired',
        verdict.duplicates <= expired,
        `${verdict.duplicates} of ${expired}; ${inFlight} in flight at the kills`,
      );
    },
  },
  {
    id: 'F29',
    title: '10,000 waiting for a receiver that hangs, another at 50/s',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      world.sink.behave('/hang', { kind: 'hang' });
      await world.createWebhook('/hang', { user_id: 'hanging', retry_policy: { max_retries: 0 } });
      await world.publishMany(100, 50);
      const baseline = await world.publishMany(500, 50);
      await world.publishBacklog(10_000, 'hanging');
      const beside = await world.publishMany(1000, 50);
      await eventually(() => latencies(world, '/ok', beside).length === 1000, {
        what: 'a thousand deliveries',
        deadlineMs: 30_000,
      });
      const [p95, p95Beside] = [baseline, beside].map((records) => quantile(latencies(world, '/ok', records), 0.95)) as [
        number,
        number,
      ];
      const waiting = await world.count(`deliveries where user_id = 'hanging' and status in ('pending', 'retrying')`);
      check('the others still wait', waiting > 9000, waiting);
      check(
        'p95 at most twice the baseline, and a second',
        p95Beside <= 2 * p95 && p95Beside <= 1000,
        `${p95Beside} ms beside ${p95} ms`,
      );
    },
  },
  {
    id: 'F30',
    title: 'too few file descriptors, and too little memory',
    ci: false,
    async run(world, check) {
      const processes = [world.w1, world.w2];
      for (let n = 0; n < 40; n += 1) {
        world.sink.behave(`/slow-${n}`, { statuses: [200], delayMs: 300 });
        await world.createWebhook(`/slow-${n}`, { user_id: `few-${n % 4}`, retry_policy: { max_retries: 10 } });
      }
      await run('prlimit', [`--pid=${world.w1.pid}`, '--nofile=128:128']);
      for (let user = 0; user < 4; user += 1) await world.publishBacklog(100, `few-${user}`);
      await world.settle(120_000);
      const refused = await world.count(`attempts where error_code = 'connection_refused'`);
      const few = await judge(world);
      check(
        '128 descriptors: the process lives',
        processes.every((item) => world.running.includes(item)),
        `${refused} attempts refused`,
      );
      check('128 descriptors: lost', few.lost === 0 && few.acknowledged === 4000, `${few.lost} of ${few.acknowledged}`);
      await Promise.all([world.w1.stop(), world.w2.stop()]);
      await backlog(world, 100_000);
      const small = { NODE_OPTIONS: '--max-old-space-size=128' };
      [world.w1, world.w2] = await Promise.all([world.startProcess('worker', small), world.startProcess('worker', small)]);
      await world.settle(DRAIN_MS);
      const verdict = await judge(world);
      check(
        '128 MB of heap: lost',
        verdict.lost === 0 && verdict.acknowledged === 104_000,
        `${verdict.lost} of ${verdict.acknowledged}`,
      );
      check('128 MB of heap: both live', world.running.length === 3, world.running.length);
    },
  },
  {
    id: 'F31',
    title: 'two workers on one processor that others fight for',
    ci: false,
    async run(world, check) {
      world.sink.behave('/ok', { statuses: [200], delayMs: 50 });
      await world.createWebhook('/ok');
      for (const worker of [world.w1, world.w2]) await run('taskset', ['-a', '-p', '-c', '0', String(worker.pid)]);
      const stress = spawn('stress-ng', ['--cpu', '2', '--taskset', '0', '--timeout', '30s'], { stdio: 'ignore' });
      const ended = new Promise((resolve) => stress.once('exit', resolve));
      await world.publishMany(1500, 50);
      await ended;
      await world.settle();
      const verdict = await judge(world);
      const expired = await world.metric('lease_expired_total');
      check('lost', verdict.lost === 0 && verdict.acknowledged === 1500, `${verdict.lost} of ${verdict.acknowledged}`);
      check('duplicates at most the leases expired', verdict.duplicates <= expired, `${verdict.duplicates} of ${expired}`);
    },
  },
];

async function backlog(world: World, deliveries: number, isNew = true): Promise<void> {
  for (let n = 0; isNew && n < WEBHOOKS; n += 1) {
    world.sink.behave(`/fast-${n}`, { statuses: [200], delayMs: 1 });
    await world.createWebhook(`/fast-${n}`);
  }
  await world.publishBacklog(deliveries / WEBHOOKS);
}
