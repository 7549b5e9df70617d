// The catalogue of event types. Admins add to it at any time, so each page that shows it reads it anew.
import type { EventType } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from './client.ts';

export async function eventTypes(signal: AbortSignal): Promise<readonly EventType[]> {
  const { events } = await webhooks.listEventTypes({}, { signal });
  return events;
}
