// Whether the schema and the sample of an event type are what they must be.
import { invalid, ServiceError } from '../domain/errors.ts';
import type { EventType } from '../domain/event-type.ts';
import { canonicalPayload, type JsonObject } from '../domain/payload.ts';
import { incompatibilities } from '../domain/schema-compatibility.ts';

/** A sample is shown in full with its type, and every process keeps it. */
const MAX_SAMPLE_BYTES = 65_536;

/** Throws `field_invalid`, or what a payload like the sample would be refused with. */
export async function checkDocuments({ schema, sample }: Pick<EventType, 'schema' | 'sample'>): Promise<void> {
  if (sample !== null) canonicalPayload(sample, MAX_SAMPLE_BYTES, 'sample');
  if (schema === null) return;
  const { schemaFault, compileCheck } = await import('./payload-schema.ts');
  const fault = schemaFault(schema, 'schema');
  if (fault !== null) throw invalid('field_invalid', fault.field, fault.message);
  const mismatch = sample === null ? null : compileCheck(schema)(sample, 'sample');
  if (mismatch !== null) throw invalid('field_invalid', mismatch.field, `${mismatch.message}, as the schema says`);
}

/** Throws `schema_incompatible`, with each place at which `after` takes something back. */
export function checkCompatible(before: JsonObject, after: JsonObject): void {
  const violations = incompatibilities(before, after, 'schema');
  const [first] = violations;
  if (first === undefined) return;
  const message = `${first.field}: ${first.message}; send force to take the schema all the same`;
  throw new ServiceError('schema_incompatible', message, { violations });
}
