// The order in which the parts of a process start. They stop in the opposite one.
import { redisLocation, type Config, type DatabaseConfig } from '../config.ts';
import { reportUnknownKeys } from '../maintenance/secret-keys.ts';
import type { EmbeddedPostgres } from '../embedded/embedded-postgres.ts';
import { Stages } from '../lifecycle/stages.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Stores } from './stores.ts';
import type { Engine } from './engine.ts';
import type { Listeners } from './listeners.ts';
import type { Maintenance } from './maintenance.ts';

/** What calls in flight get at least when deliveries have used up the grace of a shutdown, in milliseconds. */
const MIN_CLOSING_MS = 2000;

/** What a process consists of. */
export interface Parts {
  readonly embedded: EmbeddedPostgres | null;
  readonly stores: Stores;
  readonly engine: Engine;
  readonly maintenance: Maintenance;
  readonly listeners: Listeners;
  readonly onLoaded: () => void;
}

/** Where a process listens, known once it does; `http://host:port` and `host:port`. */
export interface Addresses {
  http: string;
  grpc: string;
  metrics: string;
}

/** The stages of a process: each part starts after those it needs, and stops before them. `addresses` is filled in by the listeners. */
export function orderParts(config: Config, telemetry: Telemetry, parts: Parts, addresses: Addresses): Stages {
  const { embedded, stores, engine, listeners } = parts;
  const { log, events } = telemetry;
  const stages = new Stages((name, err) => log.error({ err, part: name }, 'a part of this process did not stop as it should'));
  let graceEndsAt = 0;
  // Ports are bound before anything is claimed: a process whose port is taken has leased no delivery when it ends. What is published between
  // that and the dispatcher's start goes to the schedule.
  stages.add('telemetry', {
    start: () => telemetry.server.start(),
    drain: async () => {
      await telemetry.server.drain();
      await telemetry.shutdown();
    },
  });
  stages.add('embedded database', { drain: () => embedded?.stop() });
  stages.add('database', {
    drain: () => {
      const pools = [stores.pool, stores.batchPool, stores.outcomePool];
      return Promise.all([stores.orm?.close(true), stores.reports.close(), ...pools.map((pool) => pool.end())]);
    },
  });
  // A process that only publishes leases nothing.
  if (config.role !== 'api') stages.add(stores.holder.name, stores.holder);
  stages.add('redis', {
    start: () => stores.redis?.connect().catch((error: unknown) => events.storeFailed('redis', error)),
    drain: () => stores.redis?.close(),
  });
  for (const part of [stores.clock, listeners.health, engine.scheduler, engine.bus, engine.notices])
    stages.add(part.name, part);
  // A worker serves no call that asks it.
  if (config.role !== 'worker') stages.add(listeners.catalogue.name, listeners.catalogue);
  stages.add('closing webhooks', { drain: () => engine.closing.drain() });
  stages.add('publisher', { drain: () => engine.publisher.idle() });
  // When this one stops deliveries and tests are over: what is left are idle connections.
  stages.add('connections to receivers', { drain: () => engine.client.close() });
  stages.add('http', {
    start: async () => {
      const scheme = config.tls === null ? 'http' : 'https';
      addresses.http = `${scheme}://${config.host}:${await listeners.http.listen()}`;
      addresses.metrics = `http://${config.host}:${telemetry.server.port()}`;
    },
    // Both listeners at a time: they share what is left of the grace.
    drain: () => {
      const closingMs = Math.max(MIN_CLOSING_MS, graceEndsAt - performance.now());
      return Promise.all([listeners.http.close(closingMs), listeners.grpc?.close(closingMs)]);
    },
  });
  stages.add('grpc', {
    start: async () => {
      if (listeners.grpc !== null) addresses.grpc = `${config.host}:${await listeners.grpc.listen()}`;
    },
  });
  stages.add('secret keys', { start: () => reportUnknownKeys(stores.pool, engine.secretBox, log) });
  for (const part of parts.maintenance.parts) stages.add(part.name, part);
  // Now: it may stop the process for a tenth of a second, and no lease runs yet.
  stages.add('loaded', { start: parts.onLoaded });
  // The listeners stay open while it stops, so that probes learn that this process is not ready; what is published goes to the schedule.
  if (config.role !== 'api') stages.add(engine.dispatcher.name, engine.dispatcher);
  stages.add('feeds', { drain: () => Promise.all([engine.feed.drain(), engine.eventFeed.drain()]) });
  stages.add('ready', {
    start: () => {
      listeners.health.serve(true);
      telemetry.serving();
      log.info({ ...addresses, ...describe(config, stores.database) }, 'listening');
    },
    drain: () => {
      log.info('stopping');
      graceEndsAt = performance.now() + config.shutdownGraceMs;
      listeners.health.serve(false);
      listeners.stopping.abort();
    },
  });
  return stages;
}

/** What the line of the start says of this process beside its addresses. */
function describe({ version, role, environment, redis, ...config }: Config, { host, port, name }: DatabaseConfig) {
  const isEmbedded = config.database === null;
  return {
    version,
    role,
    environment,
    database: isEmbedded ? 'embedded' : `${host}:${port}/${name}`,
    redis: redis === null ? null : redisLocation(redis),
  };
}
