// What operators see of the state of each part.
import type { Config } from '../config.ts';
import { DAY_MS } from '../domain/time-units.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Engine } from './engine.ts';
import type { Listeners } from './listeners.ts';
import type { Maintenance } from './maintenance.ts';
import type { Stores } from './stores.ts';

/** What operators see of each part's state; all of it is answered from memory. */
export function reportGauges(
  config: Config,
  { metrics }: Telemetry,
  stores: Stores,
  { backlog, heldLimit, releases }: Maintenance,
  engine: Engine,
  listeners: Listeners,
): void {
  const stateOf = (store: string) => listeners.health.report().checks[store];
  // One that is short of something answers.
  metrics.gauge('database_up', () => (['ok', 'degraded'].includes(stateOf('database') ?? '') ? 1 : 0));
  metrics.gauge('database_short', () => (stores.shortage.resource === null ? 0 : 1));
  if (engine.isRedisAway !== null) {
    metrics.gauge('redis_up', () => (stateOf('redis') === 'ok' ? 1 : 0));
    metrics.gauge('scheduler_degraded', () => (engine.isRedisAway?.() === true ? 1 : 0));
  }
  metrics.gauge('queue_depth', () => backlog.deliveries);
  metrics.gauge('oldest_due_age_seconds', () => backlog.oldestDueSeconds);
  metrics.gauge('releases_running', () => releases.running);
  metrics.gauge('releases_waiting', () => releases.waiting);
  metrics.gauge('held_deliveries', () => heldLimit.held);
  metrics.gauge('held_limit_ratio', () => heldLimit.fullest);
  metrics.gauge('oldest_held_age_seconds', () => heldLimit.oldestSeconds);
  metrics.gauge('held_retention_ratio', () => (heldLimit.oldestSeconds * 1000) / (config.retentionDays * DAY_MS));
  metrics.gauge('commit_queue_events', () => engine.publisher.waitingEvents);
  metrics.gauge('outbound_sockets', () => engine.client.sockets);
  metrics.gauge('outbound_waiting', () => engine.client.waiting);
  metrics.gauge('local_shortage', () => (engine.client.isShort ? 1 : 0));
  metrics.gauge('secret_key_missing', () => (engine.dispatcher.lacksKey ? 1 : 0));
  if (config.role === 'api') return;
  metrics.gauge('inflight', () => engine.dispatcher.inFlight);
  metrics.gauge('result_queue_rows', () => engine.recorder.unwritten);
}
