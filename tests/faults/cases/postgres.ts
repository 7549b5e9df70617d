// F10–F12: PostgreSQL crashes, hangs, drops connections, takes no writes, has no room.
import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from '../../fixtures/eventually.ts';
import type { Check, FaultCase } from '../case.ts';
import { statuses } from '../figures.ts';
import { judge } from '../verdict.ts';
import type { PublishRecord, World } from '../world.ts';

const run = promisify(execFile);
const ROOM_BYTES = 256 * 1024 * 1024;

export const cases: readonly FaultCase[] = [
  {
    id: 'F10',
    title: 'PostgreSQL crashes three times under load',
    ci: true,
    async run(world, check) {
      await world.createWebhook('/ok');
      const processes = world.running;
      const publishing = world.publishMany(900, 50);
      const firstAfterMs: number[] = [];
      for (let n = 0; n < 3; n += 1) {
        await wait(3000);
        await world.postgres.restart('immediate');
        const readyAtMs = Date.now();
        await eventually(() => world.sink.arrivals.some((arrival) => arrival.atMs > readyAtMs), {
          what: 'a delivery after the restart',
          deadlineMs: 30_000,
        }).catch(() => undefined);
        firstAfterMs.push((world.sink.arrivals.find((arrival) => arrival.atMs > readyAtMs)?.atMs ?? Infinity) - readyAtMs);
      }
      const records = await publishing;
      await afterwards(world, records, check);
      const slowestMs = Math.max(0, ...records.filter(({ status }) => status === 503).map(({ durationMs }) => durationMs));
      check('refused within 2 s', slowestMs <= 2000, `${slowestMs} ms`);
      check('delivering again within 5 s', Math.max(...firstAfterMs) <= 5000, `${firstAfterMs.join(', ')} ms`);
      check(
        'processes live',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
  {
    id: 'F11',
    title: 'PostgreSQL hangs for 20 s',
    ci: false,
    async run(world, check) {
      world.sink.behave('/ok', { statuses: [200], delayMs: 20 });
      await world.createWebhook('/ok');
      await world.publishMany(100, 50);
      await world.publishBacklog(2000);
      await world.postgres.signalBackends('SIGSTOP');
      const frozenAtMs = Date.now();
      const records = await Promise.race([world.publishMany(100, 5), wait(60_000, [] as PublishRecord[])]);
      const probes = await Promise.all([world.rest('GET', '/livez'), world.rest('GET', '/readyz')]);
      await wait(Math.max(0, 20_000 - (Date.now() - frozenAtMs)));
      await world.postgres.signalBackends('SIGCONT');
      const thawedAtMs = Date.now();
      const sentWhileFrozen = world.sink.arrivals.filter(({ atMs }) => atMs > frozenAtMs + 5000 && atMs < thawedAtMs).length;
      await afterwards(world, records, check, [503, 504]);
      const expired = await world.metric('lease_expired_total');
      const verdict = await judge(world);
      const slowestMs = Math.max(0, ...records.filter(({ status }) => status !== 202).map(({ durationMs }) => durationMs));
      check('refused within 15 s', slowestMs <= 15_000, `${slowestMs} ms`);
      check(
        'live, and not ready',
        probes[0].status === 200 && probes[1].status === 503,
        probes.map((p) => p.status).join(', '),
      );
      check('nothing is sent that cannot be recorded', sentWhileFrozen === 0, sentWhileFrozen);
      check('duplicates at most the leases expired', verdict.duplicates <= expired, `${verdict.duplicates} of ${expired}`);
    },
  },
  {
    id: 'F12',
    title: 'PostgreSQL drops connections, is read-only, has no room',
    ci: false,
    async run(world, check) {
      await world.createWebhook('/ok');
      const processes = world.running;
      const records: PublishRecord[] = [];
      // A session of its own for each round: the one that cuts the others must not be cut.
      const dropping = (async () => {
        for (let n = 0; n < 25; n += 1) {
          await world.postgres.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
            'postgres',
          );
          await wait(200);
        }
      })();
      records.push(...(await world.publishMany(250, 50)));
      await dropping;
      await world.postgres.query('alter system set default_transaction_read_only = on', 'postgres');
      await world.postgres.query('select pg_reload_conf()', 'postgres');
      await wait(500);
      const readOnly = await world.publishMany(100, 50);
      check(
        'read-only: nothing is accepted',
        readOnly.every(({ status }) => status === 503),
        statuses(readOnly),
      );
      const session = await world.postgres.session();
      await session.query('set default_transaction_read_only = off');
      await session.query('alter system reset default_transaction_read_only');
      await session.query('select pg_reload_conf()');
      await session.end();
      await acceptsAgain(world);
      records.push(...readOnly);
      records.push(...(await withoutRoom(world, check)));
      await afterwards(world, records, check);
      check(
        'processes live',
        processes.every((item) => world.running.includes(item)),
        world.running.length,
      );
    },
  },
];

// What was refused is published again under its key: every key must end as one event, and none may be lost.
async function afterwards(world: World, records: readonly PublishRecord[], check: Check, refusals = [503]): Promise<void> {
  const expected = new Set([202, ...refusals]);
  check(
    'answers',
    records.every(({ status }) => expected.has(status)),
    statuses(records),
  );
  for (const record of records) {
    if (record.status === 202) continue;
    await eventually(async () => (await world.publish({ key: record.key })).status === 202, {
      what: 'a publish that is accepted at last',
      deadlineMs: 30_000,
      intervalMs: 200,
    });
  }
  await world.settle();
  const verdict = await judge(world);
  const keys = records.map(({ key }) => key);
  const [row] = await world.postgres.query<{ events: number; keys: number }>(
    `select count(*)::integer as events, count(distinct data)::integer as keys from events
     where data::jsonb ->> 'order_id' = any ($1)`,
    undefined,
    [keys],
  );
  check('lost', verdict.lost === 0, verdict.lost);
  check('one event a key', row?.events === keys.length && row.keys === keys.length, `${row?.events} for ${keys.length}`);
}

async function acceptsAgain(world: World): Promise<void> {
  await eventually(async () => (await world.publish()).status === 202, {
    what: 'a publish that is accepted',
    deadlineMs: 30_000,
  });
}

// The data directory moves to a small file system, which is then filled to the last byte.
async function withoutRoom(world: World, check: Check): Promise<PublishRecord[]> {
  const data = join(world.postgres.directory, 'data');
  const small = join(world.postgres.directory, 'small');
  await world.postgres.stop('fast');
  await run('mkdir', [small]);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOM_BYTES}`, 'tmpfs', small]);
  try {
    await run('cp', ['-a', `${data}/.`, small]);
    await run('chown', ['--reference', data, small]);
    await run('chmod', ['700', small]);
    await run('mount', ['--move', small, data]).catch(() => run('mount', ['--bind', small, data]));
    await world.postgres.run();
    await acceptsAgain(world);
    const filler = await open(join(data, 'filler'), 'w');
    const chunk = Buffer.alloc(65_536);
    for (let isFull = false; !isFull;) await filler.write(chunk).catch(() => (isFull = true));
    await filler.close();
    // What is left of the present segment of the log still takes some: payloads use it up, smaller and smaller ones.
    const isTaken = async (bytes: number): Promise<boolean> => {
      const body = { event_type: 'order.created', data: { filling: 'x'.repeat(bytes) }, audience: { user_ids: ['nobody'] } };
      return (await world.rest('POST', '/api/v1/events', body)).status === 202;
    };
    for (const bytes of [500_000, 50_000, 5_000, 500, 50]) for (let n = 0; n < 60; n += 1) if (!(await isTaken(bytes))) break;
    // And what the server itself gives back meanwhile: there was room for one more once.
    for (let n = 0, refused = 0; n < 60 && refused < 5; n += 1) refused = (await isTaken(50)) ? 0 : refused + 1;
    const full = await world.publishMany(50, 25);
    // The server gives back a page now and then. What it takes then must be kept like everything that was acknowledged: `afterwards` counts it.
    const isRefusedOrTaken = full.every(({ status }) => status === 503 || status === 202);
    check('full: what is not kept is refused', isRefusedOrTaken && full.some(({ status }) => status === 503), statuses(full));
    // A server whose log has no room ends; one that answers is degraded.
    const { problems } = (await world.rest('GET', '/readyz')).body;
    const said = JSON.stringify(problems ?? {});
    check('full: /readyz says so', said.includes('"database"'), said);
    await rm(join(data, 'filler'));
    // A server that could not write its log ends; its operator starts it again.
    if (!world.postgres.isRunning) await world.postgres.run();
    await acceptsAgain(world);
    return full;
  } finally {
    world.onClose(async () => {
      await run('umount', ['-l', data]).catch(() => undefined);
      await run('umount', ['-l', small]).catch(() => undefined);
    });
  }
}
