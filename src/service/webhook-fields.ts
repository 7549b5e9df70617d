// The field mask of a webhook: refused when it is written, not when an event meets it.
import { invalid } from '../domain/errors.ts';
import { faultOfFields } from '../domain/field-mask.ts';

/** Throws `field_invalid`, with the path and the character at fault. */
export function checkFields(fields: readonly string[]): void {
  const fault = faultOfFields(fields);
  if (fault !== null)
    throw invalid('field_invalid', `fields[${fault.index}]`, `at character ${fault.position}: ${fault.message}`);
}
