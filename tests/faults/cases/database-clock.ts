// `clocks`: PostgreSQL's clock is wrong for a while, by an hour or by forty days, and is set right again.
import { setTimeout as wait } from 'node:timers/promises';
import type { Check, FaultCase } from '../case.ts';
import { findFaketime, needsFaketime } from '../faketime.ts';
import { judge } from '../verdict.ts';
import { LEASE, RECONCILE, type World } from '../world.ts';

/** Processes measure the database's clock every 5 s. */
const NOTICED_MS = 6000;
/** In each phase, to two webhooks. */
const PUBLISHED = 40;
const FAILING = 10;
/** After the clock is right again, everything that waits is due within a lease and two sweeps; the rest is for a busy machine. */
const SETTLED_WITHIN_S = 4 * (LEASE + 2 * RECONCILE);

export const cases: readonly FaultCase[] = [
  clockCase('clocks-hour-ahead', "PostgreSQL's clock is an hour ahead, and set back", '+1h', true),
  clockCase('clocks-hour-behind', "PostgreSQL's clock is an hour behind, and set right", '-1h', false),
  clockCase('clocks-forty-days-ahead', "PostgreSQL's clock is forty days ahead, and set back", '+40d', false),
  // What is made forty days ago is past a retention of thirty as soon as the clock is right: it may go once it is delivered.
  clockCase('clocks-forty-days-behind', "PostgreSQL's clock is forty days behind, and set right", '-40d', false, {
    WEBHOOK_RETENTION_DAYS: '50',
  }),
];

function clockCase(id: string, title: string, offset: string, ci: boolean, env: Record<string, string> = {}): FaultCase {
  return {
    id,
    title,
    ci,
    needs: needsFaketime,
    startsProcesses: false,
    env,
    run: (world, check) => play(world, check, offset),
  };
}

/** Deliveries before, during and after; a worker is killed with some in its hands while the clock is wrong, and the leader starts anew. */
async function play(world: World, check: Check, offset: string): Promise<void> {
  await world.postgres.fakeClock((await findFaketime()) ?? '');
  await world.startProcesses();
  await world.postgres.query(`select ensure_partitions((now() - interval '20 days')::date, 28)`);
  const days = await partitions(world);
  failSome(world);
  world.sink.behave('/hangs', { kind: 'hang' });
  await world.createWebhook('/steady');
  // With retries for the failures of all three phases: none is given up.
  await world.createWebhook('/fails', { retry_policy: { max_retries: 10 } });
  await world.createWebhook('/hangs', { user_id: 'patient' });
  await world.publishMany(PUBLISHED, 20);

  world.postgres.setClock(offset);
  failSome(world);
  await wait(NOTICED_MS);
  await world.publishMany(PUBLISHED, 20);
  await world.publishMany(10, 20, { userId: 'patient' });
  await Promise.all([world.w1.kill(), world.w2.kill()]);
  world.sink.behave('/hangs', { statuses: [200] });
  // A new leader begins with a round of housekeeping, by the wrong clock. It is not ready while the clocks differ.
  world.w1 = await world.spawnProcess('worker');
  await wait(NOTICED_MS);

  world.postgres.setClock('+0');
  failSome(world);
  const rightAt = performance.now();
  await wait(NOTICED_MS);
  await world.publishMany(PUBLISHED, 20);
  await world.settle();
  const settledS = (performance.now() - rightAt) / 1000;
  const verdict = await judge(world);
  const left = await partitions(world);
  const dropped = days.filter((day) => !left.includes(day));
  check('all publishes were answered', verdict.acknowledged === 2 * 3 * PUBLISHED + 10, verdict.acknowledged);
  check('lost', verdict.lost === 0, verdict.lost);
  check('days dropped', dropped.length === 0, dropped.length);
  check(
    `nothing is stuck ${SETTLED_WITHIN_S} s after the clock is right`,
    settledS < SETTLED_WITHIN_S,
    `${settledS.toFixed(1)} s`,
  );
}

/** From now on the next few requests fail: so many that there are retries in each phase, so few that no delivery is given up. */
function failSome(world: World): void {
  world.sink.behave('/fails', { statuses: [...Array.from({ length: FAILING }, () => 500), 200] });
}

async function partitions(world: World): Promise<string[]> {
  const rows = await world.postgres.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relname ~ '_[0-9]{8}$' order by 1`,
  );
  return rows.map(({ name }) => name);
}
