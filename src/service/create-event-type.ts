// Adds a type to the catalogue.
import { invalid, ServiceError } from '../domain/errors.ts';
import { type EventType, faultOfName } from '../domain/event-type.ts';
import { EventTypeRow } from '../persistence/entities/event-type.ts';
import { changeCatalogue, eventTypeOf } from './change-catalogue.ts';
import type { ManagementContext } from './context.ts';
import { checkDocuments } from './event-type-documents.ts';
import type { Once } from './idempotent-call.ts';

/** Each process keeps all of them in memory, with a schema and a sample of 64 KiB each at most. */
const MAX_EVENT_TYPES = 500;

export type CreateEventTypeInput = Pick<
  EventType,
  'name' | 'description' | 'schema' | 'sample' | 'validation' | 'defaultPriority' | 'isDeprecated'
>;

/**
 * Rejects with `field_invalid`, `event_type_exists` and `event_type_limit_reached`.
 * @param once when the caller may repeat the call
 */
export async function createEventType(
  context: Pick<ManagementContext, 'orm' | 'catalogue'>,
  input: CreateEventTypeInput,
  once: Once<EventType> | null = null,
): Promise<EventType> {
  const fault = faultOfName(input.name);
  if (fault !== null) throw invalid('field_invalid', 'name', fault);
  await checkDocuments(input);
  return changeCatalogue(context, async (transaction) => {
    await once?.take(transaction);
    if ((await transaction.findOne(EventTypeRow, { name: input.name })) !== null) {
      throw invalid('event_type_exists', 'name', `there is an event type "${input.name}" already; change that one instead`);
    }
    if ((await transaction.count(EventTypeRow)) >= MAX_EVENT_TYPES) {
      throw new ServiceError('event_type_limit_reached', `The catalogue may have ${MAX_EVENT_TYPES} event types.`);
    }
    const now = new Date();
    const created = transaction.create(EventTypeRow, {
      ...input,
      schemaVersion: input.schema === null ? 0 : 1,
      createdAt: now,
      updatedAt: now,
    });
    await transaction.persist(created).flush();
    const made = eventTypeOf(created);
    await once?.keep(transaction, made);
    return made;
  });
}
