// F4–F9: Redis away, frozen, emptied, full, or full of nonsense.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { p99OfPublishing, statuses } from '../figures.ts';
import { judge } from '../verdict.ts';
import { LEASE, RECONCILE, type World } from '../world.ts';

/** What a publisher may have to wait for its answer, in milliseconds (rule 2). */
const MAX_PUBLISH_MS = 1000;

export const cases: readonly FaultCase[] = [
  {
    id: 'F4',
    title: 'the API is killed between its commit and Redis',
    ci: true,
    async run(world, check) {
      await world.createWebhook('/ok');
      await redisServes(world);
      world.redis.signal('SIGSTOP');
      const records = await world.publishMany(200, 2000);
      await world.api.kill();
      world.redis.signal('SIGCONT');
      const resumedAtMs = Date.now();
      await world.restartApi();
      await world.settle();
      const verdict = await judge(world);
      const tookMs = Math.max(...world.sink.arrivals.map((arrival) => arrival.atMs)) - resumedAtMs;
      check(
        'every publish is answered 202',
        records.every((record) => record.status === 202),
        statuses(records),
      );
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
      check(
        `delivered within ${RECONCILE + LEASE + 5} s`,
        tookMs <= (RECONCILE + LEASE + 5) * 1000,
        `${Math.max(0, tookMs)} ms`,
      );
    },
  },
  {
    id: 'F5',
    title: 'Redis is killed and comes back empty',
    ci: true,
    async run(world, check) {
      const workers = [world.w1, world.w2];
      const failing = 1000;
      world.sink.behave('/failing', { statuses: [...Array.from({ length: failing }, () => 500), 200] });
      await world.createWebhook('/failing', { user_id: 'failing', retry_policy: { retry_delay: 20 } });
      for (let n = 0; n < 8; n += 1) {
        world.sink.behave(`/slow-${n}`, { statuses: [200], delayMs: 1000 });
        await world.createWebhook(`/slow-${n}`);
      }
      await redisServes(world);
      await world.publishBacklog(failing, 'failing');
      await eventually(async () => (await world.count(`deliveries where status = 'retrying'`)) === failing, {
        what: 'a thousand in backoff',
        deadlineMs: 60_000,
      });
      await world.publishBacklog(500);
      const inFlight = await eventually(
        async () => {
          const value = await world.metric('inflight');
          return value >= 200 ? value : undefined;
        },
        { what: '200 in flight', deadlineMs: 30_000 },
      );
      await world.redis.kill();
      await wait(5000);
      await world.redis.run();
      await redisServes(world);
      const waiting = await world.pending();
      await world.settle(120_000);
      const requeued = await world.metric('reconcile_requeued_total');
      const verdict = await judge(world);
      check(
        'lost',
        verdict.lost === 0 && verdict.acknowledged === failing + 4000,
        `${verdict.lost} of ${verdict.acknowledged}`,
      );
      check('duplicates at most what was in flight', verdict.duplicates <= inFlight, `${verdict.duplicates} of ${inFlight}`);
      check('early', verdict.early === 0, verdict.early);
      check('requeued at least what was waiting', requeued >= waiting, `${requeued} for ${waiting}`);
      check(
        'workers live',
        workers.every((worker) => world.running.includes(worker)),
        world.running.length,
      );
    },
  },
  {
    id: 'F6',
    title: 'Redis is away for a minute, also while processes start',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      await redisServes(world);
      const before = world.running;
      await world.redis.kill();
      const awaySince = Date.now();
      const records = await world.publishMany(250, 25);
      const [api, worker] = await Promise.all([world.startProcess('api'), world.startProcess('worker')]);
      const [oldApi] = [world.api];
      world.api = api;
      records.push(...(await world.publishMany(250, 25)));
      world.api = oldApi;
      const state = (await world.rest('GET', '/readyz')).body;
      await wait(Math.max(0, 60_000 - (Date.now() - awaySince)));
      const deliveredWithout = world.sink.arrivals.length;
      await world.redis.run();
      await redisServes(world);
      await world.settle();
      const verdict = await judge(world);
      check(
        'every publish is answered 202',
        records.every((record) => record.status === 202),
        statuses(records),
      );
      check('publish p99 at most 1 s', p99OfPublishing(records) <= MAX_PUBLISH_MS, `${p99OfPublishing(records)} ms`);
      check(
        'ready, and says that Redis is degraded',
        state['status'] === 'ready' && state['redis'] === 'degraded',
        JSON.stringify(state),
      );
      check(
        'processes stay up',
        [...before, api, worker].every((item) => world.running.includes(item)),
        world.running.length,
      );
      check('delivered before Redis was back', deliveredWithout === 500, deliveredWithout);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
    },
  },
  {
    id: 'F7',
    title: 'Redis stalls for 30 s, then for 10 s',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      await redisServes(world);
      await world.publishMany(100, 50);
      const filesBefore = await world.metric('process_open_fds');
      world.redis.signal('SIGSTOP');
      const records = await world.publishMany(30 * 20, 20);
      const filesAfter = await world.metric('process_open_fds');
      world.redis.signal('SIGCONT');
      await redisServes(world);
      void world.redis.client.call('DEBUG', 'SLEEP', '10').catch(() => undefined);
      records.push(...(await world.publishMany(10 * 20, 20)));
      await world.settle();
      const expired = await world.metric('lease_expired_total');
      const verdict = await judge(world);
      check(
        'every publish is answered 202',
        records.every((record) => record.status === 202),
        statuses(records),
      );
      check('publish p99 at most 1 s', p99OfPublishing(records) <= MAX_PUBLISH_MS, `${p99OfPublishing(records)} ms`);
      check('handles do not pile up', filesAfter - filesBefore <= 60, `${filesBefore} → ${filesAfter} open files`);
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates at most the leases expired', verdict.duplicates <= expired, `${verdict.duplicates} of ${expired}`);
    },
  },
  {
    id: 'F8',
    title: 'Redis evicts the schedule, then is full',
    ci: false,
    startsProcesses: false,
    async run(world, check) {
      await world.redis.client.config('SET', 'maxmemory', '2mb');
      await world.redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
      await world.startProcesses();
      const warned = world.running.some((item) => item.lines.some((line) => line.includes('maxmemory-policy')));
      for (let n = 0; n < 4; n += 1) await world.createWebhook(`/ok-${n}`);
      await redisServes(world);
      const processes = world.running;
      for (const worker of [world.w1, world.w2]) worker.signal('SIGSTOP');
      await world.publishBacklog(5000);
      const evicted = /evicted_keys:(\d+)/.exec(await world.redis.client.info('stats'))?.[1] ?? '0';
      for (const worker of [world.w1, world.w2]) worker.signal('SIGCONT');
      await world.settle(300_000);
      await world.redis.client.config('SET', 'maxmemory-policy', 'noeviction');
      for (const worker of [world.w1, world.w2]) worker.signal('SIGSTOP');
      await world.publishBacklog(5000);
      const errors = await world.metric('store_errors_total', [world.api]);
      for (const worker of [world.w1, world.w2]) worker.signal('SIGCONT');
      await world.settle(300_000);
      const verdict = await judge(world);
      check('warned of the policy', warned, String(warned));
      check('something was evicted', Number(evicted) > 0, `${evicted} keys`);
      check('lost', verdict.lost === 0 && verdict.acknowledged === 40_000, `${verdict.lost} of ${verdict.acknowledged}`);
      check('being full is counted', errors > 0, errors);
      check(
        'processes stay up',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
  {
    id: 'F9',
    title: 'Redis is emptied and filled with nonsense',
    ci: true,
    // Timeouts would narrow the lane, and what is looked at of a webhook with it.
    env: { WEBHOOK_TIMEOUT: '3' },
    async run(world, check) {
      world.sink.behave('/slow', { statuses: [200], delayMs: 1000 });
      world.sink.behave('/failing', { statuses: [...Array.from({ length: 200 }, () => 500), 200] });
      const slow = await world.createWebhook('/slow');
      const failing = await world.createWebhook('/failing', { user_id: 'failing', retry_policy: { retry_delay: 10 } });
      await redisServes(world);
      const processes = world.running;
      await world.publishBacklog(200, 'failing');
      await world.publishBacklog(300);
      await eventually(async () => (await world.count(`deliveries where status = 'retrying'`)) === 200, {
        what: 'two hundred in backoff',
        deadlineMs: 60_000,
      });
      const redis = world.redis.client;
      // Those in flight at this moment are known only to the workers that leased them.
      await eventually(async () => ((await world.metric('inflight')) >= 32 ? true : undefined), { what: 'requests in flight' });
      await redis.flushall();
      await eventually(async () => (await redis.get('{wh:0}:epoch'))?.startsWith('complete'), { what: 'the rebuilt schedule' });
      const ready = '{wh:0}:ready';
      const ofSlow = `{wh:0}:ep:${slow.slice('webhook_'.length)}`;
      const ofFailing = `{wh:0}:ep:${failing.slice('webhook_'.length)}`;
      const refusedNaN = await redis.call('ZADD', ready, 'nan', 'x').then(
        () => false,
        () => true,
      );
      await redis.call('ZADD', ready, '0', 'junk', '-inf', 'more junk', '1e18', 'late junk', '0', '\u0000\u0001');
      await redis.call('ZADD', ofSlow, '0', 'junk', '-inf', 'delivery_x', '1', '0'.repeat(26));
      // What is in backoff said to be due since ever, and listed under another webhook as well.
      const backoff = await redis.zrange(ofFailing, '0', '99');
      for (const member of backoff) await redis.call('ZADD', ofFailing, '-inf', member);
      for (const member of backoff) await redis.call('ZADD', ofSlow, '0', member);
      await redis.call('ZADD', ready, '0', failing.slice('webhook_'.length));
      // What is waiting said to be due in the year 33658.
      for (const member of await redis.zrange(ofSlow, '110', '149')) await redis.call('ZADD', ofSlow, 'XX', '1e15', member);
      await world.settle(90_000);
      const junkLeft = async (): Promise<string[]> =>
        [...(await redis.zrange(ready, '0', '-1')), ...(await redis.zrange(ofSlow, '0', '-1'))].filter(
          (name) => name.includes('junk') && name !== 'late junk',
        );
      await eventually(async () => (await junkLeft()).length === 0, { what: 'junk that is gone', deadlineMs: 60_000 }).catch(
        () => undefined,
      );
      const left = await junkLeft();
      const [junk, requeued] = [await world.metric('queue_junk_total'), await world.metric('reconcile_requeued_total')];
      const verdict = await judge(world);
      check('Redis refuses NaN', refusedNaN, String(refusedNaN));
      check('lost', verdict.lost === 0 && verdict.acknowledged === 500, `${verdict.lost} of ${verdict.acknowledged}`);
      check('early', verdict.early === 0, verdict.early);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
      check('emptied, it was filled again', requeued > 0, requeued);
      check(
        'unknown members are removed and counted',
        junk >= 5 && left.length === 0,
        `${junk}${left.length > 0 ? `, left: ${left.join(', ')}` : ''}`,
      );
      check(
        'processes stay up',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
];

/** Resolves when no process is degraded. */
async function redisServes(world: World): Promise<void> {
  await eventually(async () => (await world.metric('scheduler_degraded')) === 0, {
    what: 'the schedule in Redis',
    deadlineMs: 60_000,
  });
}
