// From a caller's JSON to a message. Stricter than protobuf's own JSON mapping: nothing unknown is dropped, and every fault names its field.
import { fromJson, ScalarType } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import { ServiceError } from '../../domain/errors.ts';
import type { FieldViolation, Reason } from '../../domain/errors.ts';
import { keyPath, shownKey } from '../../domain/json-text.ts';
import { namesMoment } from '../../domain/moment.ts';
import { enumValueNamed } from './enum-names.ts';
import { faultError } from './json-body.ts';
import type { JsonBody } from './json-body.ts';
import { loneItem, markUnreadable, MAX_LONE_ITEMS } from './lone-items.ts';

/** The field of a request that names what goes back to its default. */
const RESET = 'reset';
/** Lists that are empty by default, so that an empty one means what null means. Every other list of a request that changes something has at least one item. */
const EMPTY_BY_DEFAULT = new Set(['fields']);
/** Enough to mend a form in one go; a body of a million unknown keys must not come back as a million complaints. */
const MAX_VIOLATIONS = 20;

/**
 * `rest` has one way to write each value: names as in the .proto, numbers as numbers, nothing for what is not given. `protobuf` also takes
 * what the JSON mapping of protobuf lets its clients write: lowerCamelCase names, null for what is not given, numbers in strings and
 * enums as numbers, base64 in either alphabet.
 */
export type JsonDialect = 'rest' | 'protobuf';

/**
 * Throws `field_unknown` or `field_invalid` with the paths of the fields at fault, and what is wrong with the text itself. An item that
 * fails alone is left empty and marked instead.
 */
export function messageFromJson(schema: DescMessage, { value, faults }: JsonBody, dialect: JsonDialect = 'rest'): Message {
  if (!isObject(value)) throw new ServiceError('body_malformed', 'The body must be a JSON object.');
  const reading = new Reading(dialect, faults, dialect === 'rest' && takesResets(schema));
  reading.throwFaults(schema);
  const readable = reading.message(schema, value, '') as JsonObject;
  reading.addResets(readable);
  const error = reading.error('the body');
  if (error !== null) throw error;
  const message = fromJson(schema, readable);
  reading.markUnreadable(message);
  return message;
}

interface Unreadable {
  readonly field: DescField;
  readonly index: number;
  readonly error: ServiceError;
}

class Reading {
  readonly #dialect: JsonDialect;
  readonly #faults: JsonBody['faults'];
  readonly #violations: (FieldViolation & { readonly reason: Reason })[] = [];
  readonly #unreadable: Unreadable[] = [];
  /** Paths of fields that are null, for a request that can put fields back to their defaults; null: it cannot. */
  readonly #resets: string[] | null;

  constructor(dialect: JsonDialect, faults: JsonBody['faults'], canReset: boolean) {
    this.#dialect = dialect;
    this.#faults = faults;
    this.#resets = canReset ? [] : null;
  }

  /** What was null goes where the request names what it puts back. */
  addResets(readable: JsonObject): void {
    if (this.#resets === null || this.#resets.length === 0) return;
    readable[RESET] = [...((readable[RESET] as string[] | undefined) ?? []), ...this.#resets];
  }

  /** Throws for a fault of the text outside of items that fail alone. Behind this, no value of `message` is too deep to be walked. */
  throwFaults(schema: DescMessage): void {
    for (const [place, fault] of this.#faults) {
      const name = place.replace(/\[\d+\]$/, '');
      const field = this.#fieldNamed(schema, name);
      const isInItem = field !== undefined && loneItem(field) !== null && fault.path !== name;
      if (!isInItem) throw faultError(fault);
    }
  }

  /** All that was found to be wrong; null: nothing. `whole` names what was read. */
  error(whole: string): ServiceError | null {
    const [first] = this.#violations;
    if (first === undefined) return null;
    const violations = this.#violations.map(({ field, message }) => ({ field, message }));
    const message = `${first.field === '' ? whole : first.field}: ${first.message}`;
    return new ServiceError(first.reason, message, { violations });
  }

  /** Marks the items of the message that were left empty. */
  markUnreadable(message: Message): void {
    for (const { field, index, error } of this.#unreadable) {
      const value = (message as unknown as Record<string, Message | Message[]>)[field.localName];
      const item = Array.isArray(value) ? value[index] : value;
      if (item !== undefined) markUnreadable(item, error);
    }
  }

  /** The same value as protobuf's JSON mapping reads it; after a violation, anything. */
  message(schema: DescMessage, json: unknown, path: string): JsonValue {
    if (schema.file.proto.package === 'google.protobuf') return this.#wellKnown(schema, json, path);
    if (!isObject(json)) return this.#refuse(path, 'must be an object');
    const readable: JsonObject = {};
    const oneofs = new Map<string, string>();
    for (const [key, value] of Object.entries(json)) {
      if (this.#violations.length >= MAX_VIOLATIONS) break;
      const field = this.#fieldNamed(schema, key);
      // By its name in the .proto, however it was written: every protocol names a field alike.
      const fieldPath = keyPath(path, field?.name ?? key);
      if (field === undefined) {
        this.#refuse(fieldPath, unknownMessage(schema, key), 'field_unknown');
        continue;
      }
      if (value === null && this.#dialect === 'protobuf') continue;
      const isDefault = value === null || (Array.isArray(value) && value.length === 0 && EMPTY_BY_DEFAULT.has(field.name));
      if (isDefault && this.#resets !== null) {
        this.#resets.push(fieldPath);
        continue;
      }
      if (Object.hasOwn(readable, field.name)) this.#refuse(fieldPath, 'is given in both spellings', 'key_duplicate');
      if (field.oneof !== undefined) {
        const sibling = oneofs.get(field.oneof.name);
        if (sibling !== undefined) this.#refuse(fieldPath, `must not be given together with ${sibling}`);
        oneofs.set(field.oneof.name, field.name);
      }
      readable[field.name] = this.#field(field, value, fieldPath);
    }
    return readable;
  }

  #fieldNamed(schema: DescMessage, key: string): DescField | undefined {
    const isCamel = this.#dialect === 'protobuf';
    return schema.fields.find((field) => field.name === key || (isCamel && field.jsonName === key));
  }

  #field(field: DescField, json: unknown, path: string): JsonValue {
    const lone = loneItem(field);
    switch (field.fieldKind) {
      case 'scalar':
        return this.#scalar(field, json, path);
      case 'enum':
        return this.#enumValue(field, field.enum, json, path);
      case 'message':
        return lone === null ? this.message(field.message, json, path) : this.#alone(field, lone, json, path, 0);
      case 'list':
        if (!Array.isArray(json)) return this.#refuse(path, 'must be an array');
        // Protobuf does not distinguish it from a list that is not given, which is kept.
        if (json.length === 0 && this.#resets !== null && field.name !== RESET) {
          return this.#refuse(path, 'must not be empty; leave it out to keep it as it is');
        }
        if (lone === null) return json.map((item, index) => this.#item(field, item, `${path}[${index}]`));
        return json
          .slice(0, MAX_LONE_ITEMS + 1)
          .map((item, index) => this.#alone(field, lone, item, `${path}[${index}]`, index));
      case 'map': {
        if (!isObject(json)) return this.#refuse(path, 'must be an object');
        const entries = Object.entries(json).map(([key, value]): [string, JsonValue] => {
          const entryPath = `${path}[${JSON.stringify(shownKey(key))}]`;
          return [
            key,
            key === '__proto__' || !key.isWellFormed()
              ? this.#refuse(entryPath, 'is not a key that can be kept')
              : this.#item(field, value, entryPath),
          ];
        });
        return Object.fromEntries(entries);
      }
    }
  }

  #item(field: DescField & { fieldKind: 'list' | 'map' }, json: unknown, path: string): JsonValue {
    if (field.message !== undefined) return this.message(field.message, json, path);
    if (field.enum !== undefined) return this.#enumValue(field, field.enum, json, path);
    return this.#scalar(field, json, path);
  }

  // A fault in it names its own fields, and fails that item alone.
  #alone(field: DescField, schema: DescMessage, json: unknown, path: string, index: number): JsonValue {
    const fault = this.#faults.get(path);
    const reading = new Reading(this.#dialect, new Map(), false);
    const readable = fault === undefined ? reading.message(schema, json, '') : {};
    const error = fault === undefined ? reading.error('the event') : faultError(fault, path);
    if (error === null) return readable;
    this.#unreadable.push({ field, index, error });
    return {};
  }

  #scalar(field: DescField & { readonly scalar: ScalarType }, json: unknown, path: string): JsonValue {
    switch (field.scalar) {
      case ScalarType.STRING:
        return typeof json === 'string' && json.isWellFormed() ? json : this.#refuse(path, 'must be a well-formed string');
      case ScalarType.BOOL:
        return typeof json === 'boolean' ? json : this.#refuse(path, 'must be true or false');
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        if (typeof json === 'number' && Number.isFinite(json)) return json;
        return this.#mapped(field, json, path, 'must be a number');
      case ScalarType.INT32:
      case ScalarType.SINT32:
      case ScalarType.SFIXED32:
        if (typeof json === 'number' && json === Math.trunc(json) && Math.abs(json + 0.5) < 2 ** 31) return json;
        return this.#mapped(field, json, path, 'must be a whole number of 32 bits');
      case ScalarType.UINT32:
      case ScalarType.FIXED32:
        if (typeof json === 'number' && json === Math.trunc(json) && json >= 0 && json < 2 ** 32) return json;
        return this.#mapped(field, json, path, 'must be a whole number from 0 to 4294967295');
      case ScalarType.BYTES:
        if (typeof json === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(json) && json.length % 4 === 0) return json;
        return this.#mapped(field, json, path, 'must be base64 text');
      case ScalarType.UINT64:
      case ScalarType.FIXED64:
        return this.#long(json, path, 0n, 2n ** 64n - 1n);
      default:
        return this.#long(json, path, -(2n ** 63n), 2n ** 63n - 1n);
    }
  }

  // 64-bit numbers travel as strings, because a JSON number loses their last digits; a number that cannot have lost any is fine.
  #long(json: unknown, path: string, min: bigint, max: bigint): JsonValue {
    const exact =
      (typeof json === 'string' && /^-?\d{1,20}$/.test(json)) || (typeof json === 'number' && Number.isSafeInteger(json));
    if (!exact) return this.#refuse(path, 'must be a whole number, as a string');
    const value = BigInt(json);
    return value >= min && value <= max ? value.toString() : this.#refuse(path, 'must be a whole number of 64 bits');
  }

  #enumValue(field: DescField, schema: DescEnum, json: unknown, path: string): JsonValue {
    const value = typeof json === 'string' ? enumValueNamed(schema, json) : undefined;
    return value === undefined ? this.#mapped(field, json, path, 'is not one of the values') : value.name;
  }

  // What only protobuf's mapping takes: asked of the library, which is the mapping.
  #mapped(field: DescField, json: unknown, path: string, complaint: string): JsonValue {
    const value = json as JsonValue;
    if (this.#dialect === 'rest' || value === null) return this.#refuse(path, complaint);
    try {
      fromJson(field.parent, {
        [field.name]: field.fieldKind === 'list' ? [value] : field.fieldKind === 'map' ? { key: value } : value,
      });
      return value;
    } catch {
      return this.#refuse(path, complaint);
    }
  }

  // Struct stays as it is: what publishers send must arrive with the numbers, keys and characters that JSON.parse read.
  #wellKnown(schema: DescMessage, json: unknown, path: string): JsonValue {
    if (schema.typeName === 'google.protobuf.Struct') {
      return isObject(json) ? (json as JsonObject) : this.#refuse(path, 'must be an object');
    }
    const isTime = schema.typeName === 'google.protobuf.Timestamp';
    try {
      if (isTime && !namesMoment(String(json))) return this.#refuse(path, 'must be an RFC 3339 time of a day that exists');
      fromJson(schema, json as JsonValue);
      return json as JsonValue;
    } catch {
      return this.#refuse(path, isTime ? 'must be an RFC 3339 time' : 'is not valid');
    }
  }

  #refuse(field: string, message: string, reason: Reason = 'field_invalid'): null {
    if (this.#violations.length < MAX_VIOLATIONS) this.#violations.push({ field, message, reason });
    return null;
  }
}

function takesResets(schema: DescMessage): boolean {
  return schema.fields.some((field) => field.name === RESET && field.fieldKind === 'list');
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function unknownMessage(schema: DescMessage, key: string): string {
  const meant = schema.fields.find((field) => field.jsonName === key);
  return meant === undefined ? 'is not a field of this request' : `is spelled "${meant.name}" here`;
}
