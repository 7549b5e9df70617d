// A change of the catalogue: one at a time, counted by its revision, and known to this process before the caller gets its reply.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { EventType } from '../domain/event-type.ts';
import type { EventTypeRow } from '../persistence/entities/event-type.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { ManagementContext } from './context.ts';

/** The other processes see what `change` writes when they next look at the revision. */
export async function changeCatalogue(
  { orm, catalogue }: Pick<ManagementContext, 'orm' | 'catalogue'>,
  change: (transaction: EntityManager) => Promise<EventType>,
): Promise<EventType> {
  const changed = await entityManagerOf(orm, { everyone: true }).transactional(async (transaction) => {
    // The lock of this one row: a revision that is committed has no older change after it.
    await transaction.execute('update catalogue set revision = revision + 1');
    return change(transaction);
  });
  await catalogue.refresh();
  return changed;
}

export function eventTypeOf(row: EventTypeRow): EventType {
  const { name, description, schemaVersion, validation, defaultPriority, isDeprecated, isDocumented, createdAt, updatedAt } =
    row;
  const documents = { sample: row.sample ?? null, schema: row.schema ?? null };
  return {
    name,
    description,
    ...documents,
    schemaVersion,
    validation,
    defaultPriority,
    isDeprecated,
    isDocumented,
    createdAt,
    updatedAt,
  };
}
