// What processes cost their stores with nothing to do: one of them, and sixteen.
import { setTimeout as wait } from 'node:timers/promises';
import { startBeside, type Beside } from './start.ts';
import type { World } from './world.ts';

const PROCESSES = 16;
/** Processes that start at once: sixteen would only wait for the cores. */
const AT_ONCE = 2;
/** Of which costs are counted, in milliseconds: the slowest periodic work comes every few seconds. */
const COUNTED_MS = 20_000;
/** After a start, in milliseconds, until only periodic work is left. */
const CALM_MS = 5000;

/** Statements of PostgreSQL and commands of Redis a second, connections, and processor time in milliseconds a second. */
export async function idle(world: World): Promise<Record<string, number>> {
  await wait(CALM_MS);
  const one = await costs(world);
  const others: Beside[] = [];
  try {
    while (others.length < PROCESSES - 1) {
      const count = Math.min(AT_ONCE, PROCESSES - 1 - others.length);
      const starting = Array.from({ length: count }, () => startBeside(world.env, 'worker', `${world.dataDir}/compiled`));
      others.push(...(await Promise.all(starting)));
    }
    await wait(CALM_MS);
    const sixteen = await costs(world);
    return Object.fromEntries(
      Object.entries(one).flatMap(([name, cost]) => [
        [`${name}_1`, cost],
        [`${name}_${PROCESSES}`, sixteen[name] ?? Number.NaN],
      ]),
    );
  } finally {
    await Promise.all(others.map((process) => process.stop()));
  }
}

async function costs(world: World): Promise<Record<string, number>> {
  const before = await counters(world);
  await wait(COUNTED_MS);
  const after = await counters(world);
  const seconds = (after.atMs - before.atMs) / 1000;
  return {
    statements: (after.transactions - before.transactions) / seconds,
    commands: (after.commands - before.commands) / seconds,
    connections: after.connections,
    postgres_ms: ((after.postgresSeconds - before.postgresSeconds) * 1000) / seconds,
    redis_ms: ((after.redisSeconds - before.redisSeconds) * 1000) / seconds,
  };
}

async function counters(world: World) {
  const { rows } = await world.pool.query<{ transactions: number; connections: number }>(
    // Each statement of idle work is a transaction of its own.
    `select (xact_commit + xact_rollback)::float8 as transactions, numbackends as connections
     from pg_stat_database where datname = current_database()`,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the statistics of the database are missing');
  const { postgres, redis } = await world.cpuSeconds();
  const commands = Number(/total_commands_processed:(\d+)/.exec(await world.redis.info('stats'))?.[1] ?? Number.NaN);
  return { ...row, commands, postgresSeconds: postgres, redisSeconds: redis, atMs: performance.now() };
}
