// F25: clocks that are ten minutes off, and one that jumps.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { faketimeEnv, findFaketime, needsFaketime } from '../faketime.ts';
import { judge } from '../verdict.ts';

/** Receivers that follow the Standard Webhooks refuse what is 300 s off. */
const MAX_OFF_SECONDS = 5;
const FAILURES = 100;

export const cases: readonly FaultCase[] = [
  {
    id: 'F25',
    title: 'clocks ten minutes ahead, ten minutes behind, and stepping',
    ci: false,
    needs: needsFaketime,
    async run(world, check) {
      const directory = await mkdtemp(join(tmpdir(), 'homechef-clock-'));
      const stepFile = join(directory, 'step');
      await writeFile(stepFile, '+0\n');
      const skewed = faketimeEnv((await findFaketime()) ?? '');
      await Promise.all([world.api.stop(), world.w1.stop(), world.w2.stop()]);
      const sinceMs = Date.now();
      const port = new URL(world.api.http).port;
      world.api = await world.spawnProcess('api', { ...skewed, FAKETIME: '+10m', SERVER_PORT: port });
      world.w1 = await world.spawnProcess('worker', { ...skewed, FAKETIME: '+10m' });
      world.w2 = await world.spawnProcess('worker', { ...skewed, FAKETIME: '-10m' });
      const stepping = await world.spawnProcess('worker', { ...skewed, FAKETIME_TIMESTAMP_FILE: stepFile });
      const all = [world.api, world.w1, world.w2, stepping];
      await eventually(
        async () => {
          for (const item of all) await fetch(`${item.http}/livez`);
          return true;
        },
        { what: 'processes that listen', deadlineMs: 90_000 },
      );
      world.sink.behave('/mends', { statuses: [...Array.from({ length: FAILURES }, () => 500), 200], delayMs: 100 });
      await world.createWebhook('/mends');
      const publishing = world.publishMany(300, 20);
      await wait(5000);
      await writeFile(stepFile, '+10m\n');
      await wait(6000);
      await writeFile(stepFile, '-10m\n');
      await publishing;
      await world.settle();
      const verdict = await judge(world);
      const ready = await Promise.all(all.map(async (item) => (await fetch(`${item.http}/readyz`)).status));
      const off = Math.max(
        ...world.sink.arrivals.map(({ timestampSeconds, atMs }) => Math.abs(timestampSeconds - atMs / 1000)),
      );
      const expired = await world.metric('lease_expired_total');
      const rows = await world.postgres.query<{ off: number }>(
        `select max(abs(extract(epoch from created_at) - $1))::float8 as off from deliveries`,
        undefined,
        [sinceMs / 1000],
      );
      await rm(directory, { recursive: true });
      check('early', verdict.early === 0, verdict.early);
      check('no live lease expired', expired === 0 && verdict.duplicates === 0, `${expired}, ${verdict.duplicates} duplicates`);
      check('lost', verdict.lost === 0 && verdict.acknowledged === 300, `${verdict.lost} of ${verdict.acknowledged}`);
      check(`signed with the true time within ${MAX_OFF_SECONDS} s`, off <= MAX_OFF_SECONDS, `${off.toFixed(1)} s`);
      check('rows carry the time of the database', (rows[0]?.off ?? Infinity) < 120, `${rows[0]?.off} s`);
      check(
        'off by more than a minute: not ready',
        ready.every((status) => status === 503),
        ready.join(' '),
      );
      const warned = all.map((item) => item.lines.some((line) => line.includes('clock_skew')));
      check('and it is logged', warned.every(Boolean), warned.join(' '));
    },
  },
];
