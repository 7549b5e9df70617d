// The schedule: Redis and PostgreSQL behind it, or PostgreSQL alone.
import type { Config } from '../config.ts';
import { FailoverScheduler } from '../schedule/failover-scheduler.ts';
import { PostgresScheduler } from '../schedule/postgres-scheduler.ts';
import { RedisPresence } from '../schedule/redis-presence.ts';
import { RedisScheduler } from '../schedule/redis-scheduler.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Stores } from './stores.ts';

export function createSchedule(config: Config, stores: Stores, { log, events }: Telemetry) {
  const { leaseMs } = config.delivery;
  const onError = (message: string, error: unknown): void => log.warn({ err: error }, message);
  const postgres = new PostgresScheduler(stores.batchPool, {
    leaseMs,
    holder: () => stores.holder.number,
    now: () => stores.clock.now(),
    putsOff: config.role !== 'api' && (config.redis === null || stores.redis === null),
    onError,
  });
  if (config.redis === null || stores.redis === null) {
    return { scheduler: postgres as Scheduler, index: null, isRedisAway: null };
  }
  const index = new RedisScheduler(stores.redis, {
    keyPrefix: config.redis.keyPrefix,
    shards: config.redis.shards,
    leaseMs,
    holder: () => stores.holder.number,
    now: () => stores.clock.now(),
    onUnknownMember: (count) => events.unknownMembersRemoved(count),
  });
  const failover = new FailoverScheduler({
    redis: index,
    postgres,
    leaseMs,
    isWorker: config.role !== 'api',
    presence: new RedisPresence({
      pool: stores.batchPool,
      claims: config.role !== 'api',
      onError: (error) => events.storeFailed('database', error),
    }),
    onDegraded: (degraded, why) => events.schedulerDegraded(degraded, why),
    onError,
    onFailure: (error) => events.storeFailed('redis', error),
  });
  return { scheduler: failover as Scheduler, index, isRedisAway: () => failover.isDegraded };
}
