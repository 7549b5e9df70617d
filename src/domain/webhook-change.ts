// An entry in the history of a webhook: what was done, and which fields differ since.

export const webhookActions = [
  'created',
  'updated',
  'deleted',
  'secret_rotated',
  'rotation_completed',
  'rotation_cancelled',
  'secret_read',
  'paused',
  'resumed',
  'disabled',
  'enabled',
  'probing_ended',
] as const;

export type WebhookAction = (typeof webhookActions)[number];

/** A JSON value. */
export type FieldValue = string | number | boolean | null | readonly string[] | Readonly<Record<string, number>>;

export interface ChangedField {
  /** As callers know it. */
  readonly field: string;
  readonly old: FieldValue;
  readonly new: FieldValue;
}

/** Characters of a text, or of all texts in a list: most URLs are shorter, and an entry with everything in it stays below 10 kB. */
export const MAX_VALUE_LENGTH = 1024;
const ELLIPSIS = '…';

/** The value as the history keeps it: what is too long keeps its beginning, and ends with an ellipsis. */
export function boundedValue(value: FieldValue): FieldValue {
  if (typeof value === 'string') return boundedText(value);
  return isList(value) ? boundedList(value) : value;
}

// A pair of surrogates may have been cut apart; PostgreSQL stores no half of one.
function boundedText(text: string): string {
  return text.length <= MAX_VALUE_LENGTH ? text : text.slice(0, MAX_VALUE_LENGTH).toWellFormed() + ELLIPSIS;
}

function boundedList(list: readonly string[]): readonly string[] {
  let length = 0;
  const end = list.findIndex((text) => (length += text.length) > MAX_VALUE_LENGTH);
  return end === -1 ? list : [...list.slice(0, end), ELLIPSIS];
}

function isList(value: FieldValue): value is readonly string[] {
  return Array.isArray(value);
}
