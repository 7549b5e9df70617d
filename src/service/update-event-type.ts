// Changes a type of the catalogue: what is given replaces, what is absent stays.
import { isDeepStrictEqual } from 'node:util';
import { notFound } from '../domain/errors.ts';
import type { EventType } from '../domain/event-type.ts';
import { EventTypeRow } from '../persistence/entities/event-type.ts';
import { changeCatalogue, eventTypeOf } from './change-catalogue.ts';
import type { ManagementContext } from './context.ts';
import { checkCompatible, checkDocuments } from './event-type-documents.ts';

type Changeable = Pick<EventType, 'description' | 'validation' | 'defaultPriority' | 'isDeprecated' | 'schema' | 'sample'>;

export interface UpdateEventTypeInput extends Readonly<{ [Name in keyof Changeable]: Changeable[Name] | undefined }> {
  readonly name: string;
  /** Takes a schema that is not compatible with the last. */
  readonly force: boolean;
}

/** Rejects with `not_found`, `field_invalid` and `schema_incompatible`. */
export async function updateEventType(
  context: Pick<ManagementContext, 'orm' | 'catalogue'>,
  { name, force, ...given }: UpdateEventTypeInput,
): Promise<EventType> {
  return changeCatalogue(context, async (transaction) => {
    const row = await transaction.findOne(EventTypeRow, { name });
    if (row === null) throw notFound('event type');
    const before = eventTypeOf(row);
    row.description = given.description ?? before.description;
    row.schema = given.schema ?? before.schema;
    row.sample = given.sample ?? before.sample;
    row.validation = given.validation ?? before.validation;
    row.defaultPriority = given.defaultPriority ?? before.defaultPriority;
    row.isDeprecated = given.isDeprecated ?? before.isDeprecated;
    row.updatedAt = new Date();
    const after = eventTypeOf(row);
    await checkDocuments(after);
    if (!isDeepStrictEqual(after.schema, before.schema)) {
      if (!force && before.schema !== null && after.schema !== null) checkCompatible(before.schema, after.schema);
      row.schemaVersion += 1;
    }
    await transaction.flush();
    return eventTypeOf(row);
  });
}
