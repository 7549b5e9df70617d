// Items of a request that fail alone: one event that cannot be read is one bad result, and its neighbours go on.
import { create } from '@bufbuild/protobuf';
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { PublishEventRequestSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ServiceError } from '../../domain/errors.ts';

/**
 * Items that are read one by one: as many as the schema lets a request have. Of more one is read as well, so that the schema's rule refuses
 * them, and no caller needs a complaint for each of a million.
 */
export const MAX_LONE_ITEMS = 1000;

const faults = new WeakMap<Message, ServiceError>();

/** The message that fails alone wherever it stands in this field; null: what is wrong here is wrong with the whole request. */
export function loneItem(field: DescField): DescMessage | null {
  return field.message?.typeName === PublishEventRequestSchema.typeName ? field.message : null;
}

/** Remembers why an item could not be read; the item itself is empty. */
export function markUnreadable(item: Message, fault: ServiceError): void {
  faults.set(item, fault);
}

/** Stands for a message that holds one such item and could not be read at all; null: the schema has none. */
export function unreadableMessage(schema: DescMessage, fault: ServiceError): Message | null {
  const field = schema.fields.find((candidate) => candidate.fieldKind === 'message' && loneItem(candidate) !== null);
  if (field?.message === undefined) return null;
  const item = create(field.message);
  markUnreadable(item, fault);
  return create(schema, { [field.localName]: item });
}

/** Why the item could not be read; undefined for one that was. */
export function faultOf(item: Message): ServiceError | undefined {
  return faults.get(item);
}
