// MikroORM: how entities are mapped, and how a piece of work gets its own entity manager that sees only what its owner may.
import { UnderscoreNamingStrategy } from '@mikro-orm/core';
import { type EntityManager, MikroORM } from '@mikro-orm/postgresql';
import type { DatabaseConfig } from '../config.ts';
import { Attempt } from './entities/attempt.ts';
import { Delivery } from './entities/delivery.ts';
import { Event } from './entities/event.ts';
import { EventTypeRow } from './entities/event-type.ts';
import type { Owner } from './entities/owner.ts';
import { WebhookEndpoint } from './entities/webhook-endpoint.ts';
import { boundedOptions, connectionOptions, replaceReadOnly, type OnPoolError } from './pool.ts';

/** Management calls are few and short; hot statements have a pool of their own. */
const MAX_CONNECTIONS = 6;

export const entities = [WebhookEndpoint, Event, EventTypeRow, Delivery, Attempt];

export type Orm = MikroORM;

/** Connects and checks the server: one that confirms commits before they are on disk is refused. */
export async function createOrm(database: DatabaseConfig, onError: OnPoolError): Promise<Orm> {
  const { ssl, application_name, connectionTimeoutMillis, keepAlive } = connectionOptions(database);
  // Not `MikroORM.init`, which looks for extensions by name: it would load what migrates, a fifth of a start.
  const orm = new MikroORM({
    entities,
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    dbName: database.name,
    namingStrategy: UnderscoreNamingStrategy,
    // Timestamps without a zone are UTC, whatever the zone of this machine or of the server.
    forceUtcTimezone: true,
    pool: { min: 0, max: MAX_CONNECTIONS },
    driverOptions: {
      ssl,
      application_name,
      connectionTimeoutMillis,
      keepAlive,
      ...boundedOptions(onError),
      ...(database.direct === undefined ? { onPoolCreated: replaceReadOnly } : {}),
    },
    logger: (message) => onError(new Error(message)),
    debug: false,
  });
  try {
    await requireSynchronousCommit(orm);
  } catch (error) {
    await orm.close(true);
    throw error;
  }
  return orm;
}

/** An entity manager for one piece of work of one caller. */
export function entityManagerOf(orm: Orm, owner: Owner): EntityManager {
  const manager = orm.em.fork();
  manager.setFilterParams('owner', owner);
  return manager;
}

// The reply to a publish means that it is committed. With synchronous_commit off, a crash of the machine may lose the commit.
async function requireSynchronousCommit(orm: Orm): Promise<void> {
  const [row] = await orm.em.getConnection().execute<{ synchronous_commit: string }[]>('show synchronous_commit');
  if (row?.synchronous_commit === 'off') {
    throw new Error(
      'PostgreSQL runs with synchronous_commit = off: committed events could be lost, so the service does not start',
    );
  }
}
