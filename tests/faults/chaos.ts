// `npm run chaos -- --minutes 20 --seed 7`: every few seconds something dies or freezes, under load; at the end nothing may be lost.
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ServiceProcess } from '../fixtures/process.ts';
import { judge, unexplainedRepeats } from './verdict.ts';
import { LEASE, World } from './world.ts';

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: '7' },
    rate: { type: 'string', default: '50' },
  },
});
const endsAt = performance.now() + Number(flags.minutes) * 60_000;
/** Between two faults, in milliseconds. */
const PAUSE_MS = [5000, 15_000] as const;
/** Longer than a lease now and then, in milliseconds. */
const FREEZE_MS = [500, 9000] as const;
const SETTLE_MS = 180_000;

const random = generator(Number(flags.seed));
const world = await World.create();
const done = new Map<string, number>();
/** Leases that each process saw run out; a process takes what it knew with it. */
const expired = new Map<ServiceProcess, number>();
/** When Redis was down, to come back empty: from, until. */
const outages: [fromMs: number, untilMs: number][] = [];
let isOver = false;

await world.startProcesses();
world.sink.behave('/ok', { statuses: [200], delayMs: 20 });
world.sink.behave('/slow', { statuses: [200], delayMs: 400 });
// Fails every tenth time: more in a row than the soak has time for their delays does not happen.
world.sink.behave('/flaky', { statuses: Array.from({ length: 300_000 }, (_, n) => (n % 10 === 9 ? 500 : 200)) });
await world.createWebhook('/ok');
await world.createWebhook('/slow', { user_id: 'slow' });
await world.createWebhook('/flaky', { user_id: 'flaky', retry_policy: { max_retries: 10, retry_delay: 0.5 } });

const counting = (async () => {
  while (!isOver) {
    await countExpired();
    await wait(500);
  }
})();
const publishing = publish();
const reporting = setInterval(report, 60_000);

const faults: Record<string, () => Promise<void>> = {
  'kill -9 a worker': () => killWorker(),
  'freeze a worker': () => freeze(pick([world.w1, world.w2])),
  'kill -9 the API': async () => {
    await world.api.kill();
    await world.restartApi();
  },
  'freeze the API': () => freeze(world.api),
  'restart Redis empty': async () => {
    const fromMs = Date.now();
    await world.redis.kill();
    await wait(between(0, 6000));
    await world.redis.run();
    outages.push([fromMs, Date.now()]);
  },
  'crash PostgreSQL': () => world.postgres.restart('immediate'),
};
while (performance.now() < endsAt) {
  await wait(between(...PAUSE_MS));
  const name = pick(Object.keys(faults));
  await countExpired();
  await faults[name]?.();
  done.set(name, (done.get(name) ?? 0) + 1);
}
clearInterval(reporting);
const records = await publishing;
await world.settle(SETTLE_MS);
isOver = true;
await counting;
await countExpired();

const verdict = await judge(world);
const onRecord = await world.count(`attempts where error_code = 'lease_expired'`);
const leasesExpired = Math.max(sum(expired.values()), onRecord);
const failures: string[] = [];
criterion('lost', verdict.lost === 0, verdict.lost);
criterion(
  'duplicates at most the leases expired',
  verdict.duplicates <= leasesExpired,
  `${verdict.duplicates} of ${leasesExpired}`,
);
criterion('early', verdict.early === 0, verdict.early);
criterion('attempt gaps', verdict.gaps === 0, verdict.gaps);
criterion('changed bodies', verdict.changedBodies === 0, verdict.changedBodies);
// A lease that Redis forgot runs out as well, and cannot be counted.
const repeats = await unexplainedRepeats(world);
const forgotten = repeats.filter(({ fromMs, untilMs }) =>
  outages.some(([from, until]) => from < untilMs && until > fromMs - LEASE * 1000),
);
console.log(
  `    deliveries repeated with no expired lease on record: ${repeats.length}, ${forgotten.length} of them across an emptied Redis`,
);
for (const repeat of repeats.filter((one) => !forgotten.includes(one))) console.log(`    ${JSON.stringify(repeat)}`);
console.log(`faults: ${[...done].map(([name, times]) => `${name} ×${times}`).join(', ')}`);
console.log(`published ${records}, acknowledged ${verdict.acknowledged}, requests ${verdict.requests}`);
await world.close();
console.log(
  `chaos of ${flags.minutes} minutes, seed ${flags.seed}: ${failures.length === 0 ? 'passed' : `missed ${failures.join(', ')}`}`,
);
process.exit(failures.length === 0 ? 0 : 1);

async function publish(): Promise<number> {
  const calls: Promise<unknown>[] = [];
  const users = ['someone', 'slow', 'flaky'];
  let published = 0;
  while (performance.now() < endsAt) {
    calls.push(world.publish({ userId: users[published % users.length] ?? '' }));
    published += 1;
    await wait(1000 / Number(flags.rate));
  }
  await Promise.all(calls);
  return published;
}

async function killWorker(): Promise<void> {
  const victim = pick([world.w1, world.w2]);
  await victim.kill();
  const next = await world.startProcess('worker');
  if (victim === world.w1) world.w1 = next;
  else world.w2 = next;
}

async function freeze(service: ServiceProcess): Promise<void> {
  service.signal('SIGSTOP');
  await wait(between(...FREEZE_MS));
  service.signal('SIGCONT');
}

async function countExpired(): Promise<void> {
  await Promise.all(
    world.running.map(async (service) => {
      const text = await fetch(service.metrics, { signal: AbortSignal.timeout(1000) })
        .then((answer) => answer.text())
        .catch(() => '');
      const seen = /^lease_expired_total (\d+)/m.exec(text)?.[1];
      if (seen !== undefined) expired.set(service, Number(seen));
    }),
  );
}

function report(): void {
  const counts = `${world.published.length} published, ${world.sink.arrivals.length} requests, ${sum(expired.values())} leases expired`;
  console.log(`${new Date().toISOString()} ${counts}, ${sum(done.values())} faults`);
}

function criterion(name: string, holds: boolean, seen: string | number): void {
  console.log(`    ${holds ? 'ok    ' : 'MISSED'} ${name}: ${seen}`);
  if (!holds) failures.push(name);
}

function pick<T>(items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}

function between(least: number, most: number): number {
  return least + random() * (most - least);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

// A linear congruential generator (Numerical Recipes): the same faults in the same order for the same seed.
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
