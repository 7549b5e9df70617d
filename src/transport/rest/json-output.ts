// From a message to REST's JSON: field names as in the .proto, short enum names, implicit fields always there.
import { toJson } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import { enumValueNamed, shortEnumName } from '../body/enum-names.ts';

export function messageToJson(schema: DescMessage, message: Message): JsonValue {
  const json = toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
  if (holdsEnums(schema)) shortenEnums(schema, json as JsonObject);
  return json;
}

// In place: the value was made a line ago and nobody else holds it.
function shortenEnums(schema: DescMessage, json: JsonObject): void {
  for (const field of schema.fields) {
    const value = json[field.name];
    if (value === undefined || value === null) continue;
    if (field.enum !== undefined) json[field.name] = mapValue(value, shortened(field.enum));
    else if (field.message !== undefined && holdsEnums(field.message)) {
      const { message } = field;
      mapValue(value, (item) => (shortenEnums(message, item as JsonObject), item), field);
    }
  }
}

function shortened(schema: DescEnum): (value: JsonValue) => JsonValue {
  return (value) => {
    const known = typeof value === 'string' ? enumValueNamed(schema, value) : undefined;
    return known === undefined ? value : shortEnumName(schema, known);
  };
}

function mapValue(value: JsonValue, change: (item: JsonValue) => JsonValue, field?: DescField): JsonValue {
  if (Array.isArray(value)) return value.map(change);
  const isMap = typeof value === 'object' && value !== null && field?.fieldKind !== 'message';
  return isMap ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, change(item)])) : change(value);
}

const enumHolders = new WeakMap<DescMessage, boolean>();

/** Whether a message has an enum anywhere inside; most do not, and are not walked. */
function holdsEnums(schema: DescMessage): boolean {
  const known = enumHolders.get(schema);
  if (known !== undefined) return known;
  // Set before the fields are looked at, so that a message that contains itself comes to an end.
  enumHolders.set(schema, false);
  const holds =
    schema.file.proto.package !== 'google.protobuf' &&
    schema.fields.some((field) => field.enum !== undefined || (field.message !== undefined && holdsEnums(field.message)));
  enumHolders.set(schema, holds);
  return holds;
}
