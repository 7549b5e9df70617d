// From a caller's JSON to a message. Stricter than protobuf's own JSON mapping: nothing is coerced, nothing unknown is dropped,
// and every fault names its field.
import { fromJson, ScalarType } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import { ServiceError } from '../../domain/errors.ts';
import type { FieldViolation, Reason } from '../../domain/errors.ts';
import { enumValueNamed } from './enum-names.ts';

/** Enough to mend a form in one go; a body of a million unknown keys must not come back as a million complaints. */
const MAX_VIOLATIONS = 20;

/** Throws `field_unknown` or `field_invalid` with the paths of the fields at fault. */
export function messageFromJson(schema: DescMessage, json: unknown): Message {
  const reading = new Reading();
  const readable = reading.message(schema, json, '');
  reading.throwViolations();
  return fromJson(schema, readable);
}

class Reading {
  private readonly violations: (FieldViolation & { readonly reason: Reason })[] = [];

  throwViolations(): void {
    const [first] = this.violations;
    if (first === undefined) return;
    const violations = this.violations.map(({ field, message }) => ({ field, message }));
    throw new ServiceError(
      'invalid_argument',
      first.reason,
      `${first.field === '' ? 'the body' : first.field}: ${first.message}`,
      {
        violations,
      },
    );
  }

  /** The same value as protobuf's JSON mapping reads it; after a violation, anything. */
  message(schema: DescMessage, json: unknown, path: string): JsonValue {
    if (schema.file.proto.package === 'google.protobuf') return this.wellKnown(schema, json, path);
    if (!isObject(json)) return this.refuse(path, 'must be an object');
    const readable: JsonObject = {};
    const oneofs = new Map<string, string>();
    for (const [key, value] of Object.entries(json)) {
      if (this.violations.length >= MAX_VIOLATIONS) break;
      const fieldPath = path === '' ? key : `${path}.${key}`;
      const field = schema.fields.find((candidate) => candidate.name === key);
      if (field === undefined) {
        this.refuse(fieldPath, unknownMessage(schema, key), 'field_unknown');
        continue;
      }
      if (field.oneof !== undefined) {
        const sibling = oneofs.get(field.oneof.name);
        if (sibling !== undefined) this.refuse(fieldPath, `must not be given together with ${sibling}`);
        oneofs.set(field.oneof.name, field.name);
      }
      readable[key] = this.field(field, value, fieldPath);
    }
    return readable;
  }

  private field(field: DescField, json: unknown, path: string): JsonValue {
    switch (field.fieldKind) {
      case 'scalar':
        return this.scalar(field.scalar, json, path);
      case 'enum':
        return this.enumValue(field.enum, json, path);
      case 'message':
        return this.message(field.message, json, path);
      case 'list':
        if (!Array.isArray(json)) return this.refuse(path, 'must be an array');
        return json.map((item, index) => this.item(field, item, `${path}[${index}]`));
      case 'map': {
        if (!isObject(json)) return this.refuse(path, 'must be an object');
        const entries = Object.entries(json).map(([key, value]): [string, JsonValue] => {
          const entryPath = `${path}[${JSON.stringify(key)}]`;
          return [
            key,
            key === '__proto__' || !key.isWellFormed()
              ? this.refuse(entryPath, 'is not a key that can be kept')
              : this.item(field, value, entryPath),
          ];
        });
        return Object.fromEntries(entries);
      }
    }
  }

  private item(field: DescField & { fieldKind: 'list' | 'map' }, json: unknown, path: string): JsonValue {
    if (field.message !== undefined) return this.message(field.message, json, path);
    if (field.enum !== undefined) return this.enumValue(field.enum, json, path);
    return this.scalar(field.scalar, json, path);
  }

  private scalar(type: ScalarType, json: unknown, path: string): JsonValue {
    switch (type) {
      case ScalarType.STRING:
        return typeof json === 'string' && json.isWellFormed() ? json : this.refuse(path, 'must be a well-formed string');
      case ScalarType.BOOL:
        return typeof json === 'boolean' ? json : this.refuse(path, 'must be true or false');
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        return typeof json === 'number' && Number.isFinite(json) ? json : this.refuse(path, 'must be a number');
      case ScalarType.INT32:
      case ScalarType.SINT32:
      case ScalarType.SFIXED32:
        return typeof json === 'number' && json === Math.trunc(json) && Math.abs(json + 0.5) < 2 ** 31
          ? json
          : this.refuse(path, 'must be a whole number of 32 bits');
      case ScalarType.UINT32:
      case ScalarType.FIXED32:
        return typeof json === 'number' && json === Math.trunc(json) && json >= 0 && json < 2 ** 32
          ? json
          : this.refuse(path, 'must be a whole number from 0 to 4294967295');
      case ScalarType.BYTES:
        return typeof json === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(json) && json.length % 4 === 0
          ? json
          : this.refuse(path, 'must be base64 text');
      case ScalarType.UINT64:
      case ScalarType.FIXED64:
        return this.long(json, path, 0n, 2n ** 64n - 1n);
      default:
        return this.long(json, path, -(2n ** 63n), 2n ** 63n - 1n);
    }
  }

  // 64-bit numbers travel as strings, because a JSON number loses their last digits; a number that cannot have lost any is fine.
  private long(json: unknown, path: string, min: bigint, max: bigint): JsonValue {
    const exact =
      (typeof json === 'string' && /^-?\d{1,20}$/.test(json)) || (typeof json === 'number' && Number.isSafeInteger(json));
    if (!exact) return this.refuse(path, 'must be a whole number, as a string');
    const value = BigInt(json);
    return value >= min && value <= max ? value.toString() : this.refuse(path, 'must be a whole number of 64 bits');
  }

  private enumValue(schema: DescEnum, json: unknown, path: string): JsonValue {
    const value = typeof json === 'string' ? enumValueNamed(schema, json) : undefined;
    return value === undefined ? this.refuse(path, 'is not one of the values') : value.name;
  }

  // Struct stays as it is: what publishers send must arrive with the numbers, keys and characters that JSON.parse read.
  private wellKnown(schema: DescMessage, json: unknown, path: string): JsonValue {
    if (schema.typeName === 'google.protobuf.Struct') {
      return isObject(json) ? (json as JsonObject) : this.refuse(path, 'must be an object');
    }
    try {
      fromJson(schema, json as JsonValue);
      return json as JsonValue;
    } catch {
      return this.refuse(path, schema.typeName === 'google.protobuf.Timestamp' ? 'must be an RFC 3339 time' : 'is not valid');
    }
  }

  private refuse(field: string, message: string, reason: Reason = 'field_invalid'): null {
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push({ field, message, reason });
    return null;
  }
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function unknownMessage(schema: DescMessage, key: string): string {
  const meant = schema.fields.find((field) => field.jsonName === key);
  return meant === undefined ? 'is not a field of this request' : `is spelled "${meant.name}" here`;
}
