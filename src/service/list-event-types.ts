// The catalogue of event types, for whoever is signed in.
import { type EventType, eventTypes } from '../domain/event-types.ts';

export function listEventTypes(): readonly EventType[] {
  return eventTypes;
}
