// F13–F15: processes that are asked to stop.
import { setTimeout as wait } from 'node:timers/promises';
import { eventually } from '../../fixtures/eventually.ts';
import type { ServiceProcess } from '../../fixtures/process.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import type { World } from '../world.ts';

export const cases: readonly FaultCase[] = [
  {
    id: 'F13',
    title: 'SIGTERM with 200 requests in flight',
    ci: true,
    env: { WEBHOOK_SHUTDOWN_GRACE: '5', WEBHOOK_TIMEOUT: '4', WEBHOOK_LEASE: '8' },
    async run(world, check) {
      for (let n = 0; n < 8; n += 1) {
        world.sink.behave(`/slow-${n}`, { statuses: [200], delayMs: 1500 });
        await world.createWebhook(`/slow-${n}`);
      }
      await world.publishBacklog(60);
      await eventually(async () => (await world.metric('inflight')) >= 200, { what: '200 in flight', deadlineMs: 20_000 });
      const inFlight = await world.metric('inflight', [world.w1]);
      const stopped = stop(world.w1);
      const readiness = await eventually(
        async () => {
          const { status } = await fetch(`${world.w1.http}/readyz`);
          return status === 503 ? status : undefined;
        },
        { what: 'the worker not ready', deadlineMs: 3000, intervalMs: 5 },
      ).catch(() => 0);
      const { code, tookMs } = await stopped;
      await world.settle();
      const verdict = await judge(world);
      check('not ready before it is gone', readiness === 503, readiness);
      check(
        'exit code 0 within the grace + 1 s',
        code === 0 && tookMs <= 6000,
        `${code} after ${tookMs} ms, ${inFlight} in flight`,
      );
      check('lost', verdict.lost === 0 && verdict.acknowledged === 480, `${verdict.lost} of ${verdict.acknowledged}`);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
      check(
        'every request is on record',
        verdict.requests === verdict.attemptsOnRecord,
        `${verdict.requests}, ${verdict.attemptsOnRecord}`,
      );
    },
  },
  {
    id: 'F14',
    title: 'SIGTERM with a receiver that hangs',
    ci: false,
    env: { WEBHOOK_SHUTDOWN_GRACE: '3', WEBHOOK_TIMEOUT: '10', WEBHOOK_LEASE: '15' },
    async run(world, check) {
      world.sink.behave('/hang', { kind: 'hang' });
      await world.createWebhook('/hang');
      await world.w2.stop();
      await world.publishMany(5, 50);
      await eventually(() => world.sink.arrivals.length === 5, { what: 'five requests in flight' });
      const other = await world.startProcess('worker');
      const stopped = stop(world.w1);
      world.sink.behave('/hang', { statuses: [200] });
      const { code, tookMs } = await stopped;
      const endedAtMs = Date.now();
      await world.settle();
      const verdict = await judge(world);
      const again = world.sink.arrivals.filter(({ attempt }) => attempt === 2).map(({ atMs }) => atMs - endedAtMs);
      const [row] = await world.postgres.query<{ shutdown: number; used: number }>(
        `select (select count(*) from attempts where error_code = 'shutdown')::integer as shutdown,
           (select sum(retries_used) from deliveries)::integer as used`,
      );
      check('exit code 0 within 4 s', code === 0 && tookMs <= 4000, `${code} after ${tookMs} ms`);
      check('tried again within 2 s', again.length === 5 && Math.max(...again) <= 2000, `${Math.max(...again)} ms`);
      check(
        'attempts on record as shutdown, no retry used',
        row?.shutdown === 5 && row.used === 0,
        `${row?.shutdown}, ${row?.used}`,
      );
      check('lost', verdict.lost === 0, verdict.lost);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
      check('attempt gaps', verdict.gaps === 0, verdict.gaps);
      check('the other worker lives', world.running.includes(other), String(world.running.length));
    },
  },
  {
    id: 'F15',
    title: 'every process restarted in turn for a minute, under load',
    ci: false,
    env: { WEBHOOK_SHUTDOWN_GRACE: '5' },
    async run(world, check) {
      world.sink.behave('/ok', { statuses: [200], delayMs: 100 });
      await world.createWebhook('/ok');
      const second = await world.startProcess('api');
      const apis = [world.api, second];
      const workers = [world.w1, world.w2];
      const endsAt = performance.now() + 60_000;
      const codes: (number | string)[] = [];
      let errors = 0;
      let published = 0;
      const publishing = (async () => {
        const calls: Promise<void>[] = [];
        while (performance.now() < endsAt) {
          calls.push(publishAnywhere(world, apis, `rolling-${(published += 1)}`).catch(() => void (errors += 1)));
          await wait(20);
        }
        await Promise.all(calls);
      })();
      for (let turn = 0; performance.now() < endsAt - 5000; turn = (turn + 1) % 4) {
        const list = turn < 2 ? apis : workers;
        const index = turn % 2;
        const old = list[index] as ServiceProcess;
        codes.push((await stop(old)).code);
        list[index] = await world.startProcess(turn < 2 ? 'api' : 'worker', { SERVER_PORT: new URL(old.http).port });
      }
      await publishing;
      [world.api] = apis as [ServiceProcess];
      await world.settle();
      const verdict = await judge(world);
      check(
        'every process ends with code 0',
        codes.every((code) => code === 0),
        codes.join(' '),
      );
      check('publish errors, with another try at the other process', errors === 0, `${errors} of ${published}`);
      check('lost', verdict.lost === 0 && verdict.acknowledged === published, `${verdict.lost} of ${verdict.acknowledged}`);
      check('duplicates', verdict.duplicates === 0, verdict.duplicates);
    },
  },
];

async function stop(service: ServiceProcess): Promise<{ code: number | string; tookMs: number }> {
  const startedAt = performance.now();
  const code = await service.stop();
  return { code, tookMs: Math.round(performance.now() - startedAt) };
}

async function publishAnywhere(world: World, apis: readonly ServiceProcess[], key: string): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) {
    const api = apis[tries % apis.length] as ServiceProcess;
    if ((await world.publish({ key, api })).status === 202) return;
    await wait(100);
  }
  throw new Error(`${key} was never accepted`);
}
