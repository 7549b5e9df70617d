// Whether the schema and the sample of an event type are what they must be.
import type { EventType } from '../domain/event-type.ts';
import { canonicalPayload } from '../domain/payload.ts';

/** A sample is shown in full with its type, and every process keeps it. */
const MAX_SAMPLE_BYTES = 65_536;

/** Throws `field_invalid`, or what a payload like the sample would be refused with. */
export async function checkDocuments({ sample }: Pick<EventType, 'schema' | 'sample'>): Promise<void> {
  if (sample !== null) canonicalPayload(sample, MAX_SAMPLE_BYTES, 'sample');
}
