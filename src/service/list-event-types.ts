// The catalogue of event types, for every caller with a token.
import { notFound } from '../domain/errors.ts';
import type { EventType } from '../domain/event-type.ts';
import type { ManagementContext } from './context.ts';

type CatalogueContext = Pick<ManagementContext, 'catalogue'>;

export function listEventTypes({ catalogue }: CatalogueContext): EventType[] {
  return catalogue.list();
}

/** Throws `not_found`. */
export function getEventType({ catalogue }: CatalogueContext, name: string): EventType {
  const type = catalogue.find(name);
  if (type === undefined) throw notFound('event type');
  return type;
}
