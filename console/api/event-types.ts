// The catalogue of event types, read once: it only changes with the service itself.
import type { EventType } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from './client.ts';

let reading: Promise<readonly EventType[]> | undefined;

export function eventTypes(): Promise<readonly EventType[]> {
  reading ??= webhooks.listEventTypes({}).then(
    (answer) => answer.events,
    (error: unknown) => {
      reading = undefined;
      throw error;
    },
  );
  return reading;
}
