// The composition root: everything is built by hand, and started and stopped in order.
import type { Config, DatabaseConfig } from '../config.ts';
import { DELIVERY_SHARE, MAX_SOCKETS } from '../outbound/http-client.ts';
import { divideDescriptors, readDescriptorLimit, type DescriptorBudget } from './descriptor-budget.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { startEmbeddedPostgres } from '../embedded/embedded-postgres.ts';
import { relaxedSettings } from '../security/relaxed-settings.ts';
import type { Logger } from '../telemetry/log.ts';
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import { DEFAULT_LIMITS } from '../transport/listener/server-limits.ts';
import { orderParts, type Addresses } from './part-order.ts';
import { openStores } from './stores.ts';
import { createEngine } from './engine.ts';
import { createListeners } from './listeners.ts';
import { createMaintenance } from './maintenance.ts';
import { reportGauges } from './gauges.ts';

/** Connections of callers over gRPC: some for each process of a large mesh. */
const GRPC_CONNECTIONS = 4000;
/** Sockets of a part that this process hardly uses: a worker's listener serves probes, an API's client sends tests. */
const SPARE_SOCKETS = 64;

export interface App extends LongRunning {
  readonly addresses: Readonly<Addresses>;
  readonly database: DatabaseConfig;
  readonly log: Logger;
}

/**
 * Builds the service and connects it to its stores; nothing is served before `start`.
 * @param onLoaded called during `start`, once everything is loaded and connected and before anything is claimed
 */
export async function createApp(config: Config, onLoaded: () => void = () => {}): Promise<App> {
  const telemetry = createTelemetry(config);
  const { log } = telemetry;
  const relaxed = relaxedSettings(config);
  if (relaxed.length > 0) log.warn({ settings: relaxed }, `production is relaxed by ${relaxed.join(', ')}`);
  const unknown = config.unknownVariables;
  if (unknown.length > 0)
    log.warn(
      { variables: unknown },
      `${unknown.join(', ')}: not a variable of this version, so it changes nothing; see .env.example`,
    );
  const budget = divide(config, telemetry);
  const embedded = config.database === null ? await startEmbeddedPostgres(config.dataDir) : null;
  const database = config.database ?? embedded?.config;
  if (database === undefined) throw new Error('there is neither a configured nor an embedded database');
  const stores = await openStores(config, database, telemetry);
  const engine = createEngine(config, stores, telemetry, budget);
  const listeners = await createListeners(config, stores, engine, telemetry, budget);
  const maintenance = createMaintenance(config, stores, engine, telemetry);
  reportGauges(config, telemetry, stores, maintenance, engine, listeners);
  const addresses: Addresses = { http: '', grpc: '', metrics: '' };
  const stages = orderParts(config, telemetry, { embedded, stores, engine, maintenance, listeners, onLoaded }, addresses);
  return {
    name: 'homechef-webhooks',
    addresses,
    database,
    log,
    start: () => stages.start(),
    async drain() {
      await stages.drain();
      log.info('stopped');
    },
  };
}

function divide(config: Config, { log }: Telemetry): DescriptorBudget {
  const { role, delivery } = config;
  const forDeliveries = Math.max(MAX_SOCKETS, Math.ceil(delivery.maxConcurrency / DELIVERY_SHARE));
  const budget = divideDescriptors(readDescriptorLimit(), {
    outbound: role === 'api' ? SPARE_SOCKETS : forDeliveries,
    http: role === 'worker' ? SPARE_SOCKETS : DEFAULT_LIMITS.maxConnections,
    grpc: role === 'worker' ? 0 : GRPC_CONNECTIONS,
  });
  if (budget.isReduced)
    log.warn(budget, 'this process may open few files and sockets (ulimit -n); each part gets a share of them');
  return budget;
}
