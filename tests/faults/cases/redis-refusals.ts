// `redis`: Redis is there and cannot do what the schedule needs. No retry is more than five seconds late for it.
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { JITTER } from '../../../src/domain/retry-policy.ts';
import { eventually } from '../../fixtures/eventually.ts';
import type { Check, FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import type { World } from '../world.ts';

/** Between a first try, which fails, and its retry, in milliseconds. */
const RETRY_DELAY_MS = 3000;
/** How late a retry may be, in milliseconds. */
const MAX_LATE_MS = 5000;
/** From the fault to its end, in milliseconds: several times what it takes to notice it. */
const FAULT_MS = 12_000;
/** Events published before the fault, whose retries fall into it, and as many during it. */
const EVENTS = 100;

interface Refusal {
  readonly id: string;
  readonly title: string;
  readonly begin: (world: World) => Promise<unknown>;
  readonly end: (world: World) => Promise<unknown>;
  /** What one warning of each process says. */
  readonly why: RegExp;
}

const config = (world: World, name: string, value: string): Promise<unknown> => world.redis.client.config('SET', name, value);

const refusals: readonly Refusal[] = [
  {
    id: 'redis-unsaved',
    title: 'Redis answers reads and refuses writes, for it cannot save',
    async begin(world) {
      const directory = await mkdtemp(join(tmpdir(), 'homechef-faults-redis-'));
      await config(world, 'dir', directory);
      await rmdir(directory);
      await config(world, 'save', '3600 1');
      await world.redis.client.bgsave();
    },
    async end(world) {
      await config(world, 'dir', tmpdir());
      await config(world, 'save', '');
    },
    why: /could not save to its disk \(MISCONF\)/,
  },
  {
    id: 'redis-scripts',
    title: 'Redis forbids scripts',
    begin: (world) => world.redis.client.call('ACL', 'SETUSER', 'default', '-eval', '-evalsha', '-script'),
    end: (world) => world.redis.client.call('ACL', 'SETUSER', 'default', '+@all'),
    why: /forbids its user the command evalsha/,
  },
  {
    id: 'redis-demoted',
    title: 'Redis is demoted to a replica',
    begin: (world) => world.redis.client.replicaof('127.0.0.1', 1),
    end: (world) => world.redis.client.replicaof('NO', 'ONE'),
    why: /is a replica \(READONLY\)/,
  },
  {
    id: 'redis-full',
    title: 'Redis is full and evicts nothing',
    begin: (world) => config(world, 'maxmemory', '1'),
    end: (world) => config(world, 'maxmemory', '0'),
    why: /is full \(OOM\)/,
  },
  {
    id: 'redis-paused',
    title: 'Redis is paused',
    begin: (world) => Promise.resolve(world.redis.signal('SIGSTOP')),
    end: (world) => Promise.resolve(world.redis.signal('SIGCONT')),
    why: /does not answer in time/,
  },
];

export const cases: readonly FaultCase[] = [
  ...refusals.map((refusal): FaultCase => ({
    id: refusal.id,
    title: refusal.title,
    ci: false,
    run: (world, check) => play(refusal, world, check),
  })),
  {
    id: 'redis-database',
    title: 'REDIS_DB names a database that the server does not have',
    ci: false,
    env: { REDIS_DB: '99' },
    async run(world, check) {
      await failOnce(world);
      await world.publishMany(EVENTS, 100);
      await world.settle();
      const keys = await world.redis.client.dbsize();
      check('nothing is written to database 0', keys === 0, `${keys} keys`);
      checkOneWarning(world, check, /no database of the number in REDIS_DB/);
      await checkRetries(world, check);
    },
  },
];

async function play(refusal: Refusal, world: World, check: Check): Promise<void> {
  await failOnce(world);
  await eventually(async () => (await world.metric('scheduler_degraded')) === 0, { what: 'Redis serving', deadlineMs: 60_000 });
  await world.publishMany(EVENTS, 100);
  await refusal.begin(world);
  const beganAt = performance.now();
  await eventually(async () => (await world.metric('scheduler_degraded')) === world.running.length, {
    what: 'PostgreSQL serving everywhere',
    deadlineMs: 20_000,
    intervalMs: 50,
  });
  const noticedMs = performance.now() - beganAt;
  const ready = await world.rest('GET', '/readyz');
  await world.publishMany(EVENTS, 100);
  await wait(Math.max(0, FAULT_MS - (performance.now() - beganAt)));
  await refusal.end(world);
  await eventually(async () => (await world.metric('scheduler_degraded')) === 0, { what: 'Redis serving', deadlineMs: 60_000 });
  await world.settle();
  // Two seconds, and one for the look that sees it.
  check('every process notices within 3 s', noticedMs <= 3000, `${noticedMs.toFixed(0)} ms`);
  check(
    'ready, and says that Redis is degraded',
    ready.status === 200 && ready.body['redis'] === 'degraded',
    JSON.stringify(ready.body),
  );
  checkOneWarning(world, check, refusal.why);
  await checkRetries(world, check);
}

/** A webhook whose receiver refuses the first try of each delivery. */
async function failOnce(world: World): Promise<void> {
  world.sink.behave('/failing', { statuses: [200], refusesFirstTries: true });
  await world.createWebhook('/failing', { retry_policy: { retry_delay: RETRY_DELAY_MS / 1000 } });
}

function checkOneWarning(world: World, check: Check, why: RegExp): void {
  const counts = world.running.map((service) => service.lines.filter((line) => why.test(line)).length);
  check(
    'each process says why, once',
    counts.every((count) => count === 1),
    counts.join(', '),
  );
}

async function checkRetries(world: World, check: Check): Promise<void> {
  const late = [...Map.groupBy(world.sink.arrivals, ({ deliveryId }) => deliveryId).values()].map(([first, second]) =>
    first === undefined || second === undefined ? Infinity : second.atMs - first.atMs - RETRY_DELAY_MS * (1 + JITTER),
  );
  const worst = Math.max(...late);
  check(
    `no retry more than ${MAX_LATE_MS / 1000} s late`,
    worst <= MAX_LATE_MS,
    `${worst.toFixed(0)} ms, the latest of ${late.length}`,
  );
  const verdict = await judge(world);
  check('lost', verdict.lost === 0, `${verdict.lost} of ${verdict.acknowledged}`);
  check('duplicates', verdict.duplicates === 0, verdict.duplicates);
  check('early', verdict.early === 0, verdict.early);
}
