// The body that a receiver gets.

export interface BodyParts {
  readonly eventType: string;
  /** The canonical JSON text of the event's data, or of what a field mask keeps of it. */
  readonly data: string;
  readonly occurredAtMs: number;
  readonly webhookId: string;
  readonly deliveryId: string;
}

/**
 * The exact text that is signed and sent, on every attempt the same while the field mask of its webhook is. It equals `JSON.stringify` of itself parsed: the data is
 * canonical, and none of the other values needs escaping (event types are of the catalogue, ids of our own alphabet).
 */
export function deliveryBody(parts: BodyParts): string {
  const timestamp = isoOf(parts.occurredAtMs);
  return `{"event":"${parts.eventType}","data":${parts.data},"timestamp":"${timestamp}","webhook_id":"${parts.webhookId}","delivery_id":"${parts.deliveryId}"}`;
}

let formattedMs = Number.NaN;
let formattedText = '';

// The deliveries of one event are mostly sent one after the other, so the last text is kept.
function isoOf(ms: number): string {
  if (ms === formattedMs) return formattedText;
  formattedText = new Date(ms).toISOString();
  formattedMs = ms;
  return formattedText;
}
