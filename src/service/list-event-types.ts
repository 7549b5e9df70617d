// The catalogue of event types, for every caller with a token.
import { type EventType, eventTypes } from '../domain/event-types.ts';

export function listEventTypes(): readonly EventType[] {
  return eventTypes;
}
