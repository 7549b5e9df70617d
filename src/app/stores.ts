// The stores of a process: PostgreSQL with its pools, the one clock, Redis, and the session that says that this process lives.
import type { Pool } from 'pg';
import type { Config, DatabaseConfig } from '../config.ts';
import { DatabaseClock } from '../persistence/database-clock.ts';
import { DatabaseShortage, lackingResource } from '../persistence/database-shortage.ts';
import { warnOfDefects } from '../persistence/known-defects.ts';
import { Holder } from '../persistence/holder.ts';
import { prepareDatabase } from '../persistence/prepare-database.ts';
import type { Orm } from '../persistence/orm.ts';
import { connectionOptions, createPool, directly } from '../persistence/pool.ts';
import { requirePooledSessions } from '../persistence/pooled-sessions.ts';
import { createReports } from '../persistence/reports.ts';
import { RedisConnection } from '../persistence/redis.ts';
import { batchSettings, outcomeSettings } from '../persistence/session.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

/**
 * Connections of the way from publish to outcome, which no call for anything else can take: two publishes in flight, a claim, a load,
 * one for webhooks that are not in memory, for the clock and for health, and one for the reconciler.
 */
const BATCH_CONNECTIONS = 6;
/** Two batches of outcomes in flight, and the transactions that disable webhooks. */
const OUTCOME_CONNECTIONS = 4;

export type Stores = Awaited<ReturnType<typeof openStores>>;

export async function openStores(config: Config, database: DatabaseConfig, { log, events }: Telemetry) {
  await prepareDatabase(database);
  await requirePooledSessions(database);
  const shortage = new DatabaseShortage();
  const onError = (error: Error): void => {
    const resource = lackingResource(error);
    if (resource === null) return events.storeFailed('database', error);
    shortage.note(resource);
    events.databaseShort(resource, error);
  };
  const orm = config.role === 'worker' ? null : await openOrm(database, onError);
  const pool: Pool = createPool(database, onError);
  const reports = createReports(database, onError);
  await warnOfDefects(pool, log);
  const batchPool = createPool(database, onError, { kind: 'batch', max: BATCH_CONNECTIONS, settings: batchSettings });
  const outcomePool = createPool(database, onError, { kind: 'outcome', max: OUTCOME_CONNECTIONS, settings: outcomeSettings });
  let skewMs = 0;
  const clock = new DatabaseClock({
    pool: batchPool,
    onSkew: (measured) => {
      skewMs = measured;
      events.clockSkew(measured);
    },
    onError: (error) => events.storeFailed('database', error),
  });
  const redis =
    config.redis === null ? null : new RedisConnection(config.redis, (message) => log.warn({ store: 'redis' }, message));
  const holder = new Holder({
    connection: connectionOptions(directly(database)),
    leaseMs: config.delivery.leaseMs,
    onError: (error) => log.warn({ err: error }, 'the session that says that this process lives was lost or not opened'),
  });
  return { database, orm, pool, reports, batchPool, outcomePool, clock, clockSkewMs: () => skewMs, shortage, holder, redis };
}

/** A worker serves no call that needs it, and starts without it 15 MB smaller. */
async function openOrm(database: DatabaseConfig, onError: (error: Error) => void): Promise<Orm> {
  const { createOrm } = await import('../persistence/orm.ts');
  return createOrm(database, onError);
}
