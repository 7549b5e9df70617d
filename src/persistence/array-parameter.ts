// Arrays as query parameters of the hot statements, encoded once into what PostgreSQL reads directly.

const TEXT_OID = 25;
const ARRAY_HEADER_BYTES = 20;

/**
 * A `text[]` in PostgreSQL's binary format (the driver sends Buffers as binary). The driver's own array literals escape every
 * quote of every JSON document, which the server then undoes.
 */
export function textArray(values: readonly (string | null)[]): Buffer {
  let size = ARRAY_HEADER_BYTES;
  for (const value of values) size += 4 + (value === null ? 0 : Buffer.byteLength(value));
  const buffer = Buffer.allocUnsafe(size);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(values.includes(null) ? 1 : 0, 4);
  buffer.writeInt32BE(TEXT_OID, 8);
  buffer.writeInt32BE(values.length, 12);
  buffer.writeInt32BE(1, 16);
  let offset = ARRAY_HEADER_BYTES;
  for (const value of values) {
    if (value === null) {
      offset = buffer.writeInt32BE(-1, offset);
      continue;
    }
    const written = buffer.write(value, offset + 4);
    buffer.writeInt32BE(written, offset);
    offset += 4 + written;
  }
  return buffer;
}

/** An array of numbers or booleans as a literal: nothing in it needs escaping. */
export function plainArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : String(value))).join(',')}}`;
}

/**
 * A column of a batch, or null when it holds only its default: `unnest` beside other arrays fills it up with nulls. The statement reads it
 * with `coalesce`.
 */
export function nullIfAllDefault<Value>(
  values: readonly Value[],
  usual: Value,
  encode: (values: readonly Value[]) => Buffer | string,
): Buffer | string | null {
  return values.every((value) => value === usual) ? null : encode(values);
}

/** One `text[]` as a literal, for arrays within arrays: PostgreSQL has no ragged ones. */
export function arrayLiteral(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
}
