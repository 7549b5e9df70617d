// Which status bus there is: between processes, or within this one.
import type { RedisConnection } from '../persistence/redis.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { LocalStatusBus } from './local-status-bus.ts';
import { RedisStatusBus } from './redis-status-bus.ts';
import type { StatusBus } from './status-bus.ts';

/** Between processes over Redis; without Redis (null) within this process alone. */
export function createStatusBus(options: {
  readonly redis: RedisConnection | null;
  /** `REDIS_KEY_PREFIX`, which keeps services that share one Redis apart. */
  readonly keyPrefix: string;
  readonly telemetry: Telemetry;
}): StatusBus {
  const { redis, keyPrefix, telemetry } = options;
  return redis === null ? new LocalStatusBus(telemetry.log) : new RedisStatusBus({ redis, keyPrefix, telemetry });
}
