// From a message to REST's JSON: field names as in the .proto, short enum names, implicit fields always there.
import { getOption, hasOption, toJson } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import {
  only_in as onlyInRpc,
  only_with as onlyWithField,
  only_without as onlyWithoutField,
} from '../../../gen/homechef/webhook/v1/policy_pb.ts';
import { enumValueNamed, shortEnumName } from '../body/enum-names.ts';

/** @param rpc whose answer it is: fields that another one alone has are left out, see `only_in` */
export function messageToJson(schema: DescMessage, message: Message, rpc: string): JsonValue {
  const json = toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
  if (isRewritten(schema)) rewrite(schema, json as JsonObject, rpc);
  return json;
}

// In place: the value was made a line ago, and nothing else refers to it.
function rewrite(schema: DescMessage, json: JsonObject, rpc: string): void {
  for (const field of schema.fields) {
    const value = json[field.name];
    if (value === undefined || value === null) continue;
    const only = onlyIn(field);
    const flag = onlyWith(field);
    const other = onlyWithout(field);
    if ((only !== null && only !== rpc) || (flag !== null && json[flag] !== true) || (other !== null && json[other] === true)) {
      delete json[field.name];
      continue;
    }
    if (field.enum !== undefined) json[field.name] = mapValue(value, shortened(field.enum));
    else if (field.message !== undefined && isRewritten(field.message)) {
      const { message } = field;
      mapValue(value, (item) => (rewrite(message, item as JsonObject, rpc), item), field);
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

const onlyIn = optionReader(onlyInRpc);
const onlyWith = optionReader(onlyWithField);
const onlyWithout = optionReader(onlyWithoutField);

/** Reads an option of a field, once; null where it is not set. */
function optionReader(option: typeof onlyInRpc): (field: DescField) => string | null {
  const known = new WeakMap<DescField, string | null>();
  return (field) => {
    let value = known.get(field);
    if (value === undefined) known.set(field, (value = hasOption(field, option) ? getOption(field, option) : null));
    return value;
  };
}

const rewritten = new WeakMap<DescMessage, boolean>();

/** Whether a message has an enum or a field of some RPCs anywhere inside; most do not, and are not walked. */
function isRewritten(schema: DescMessage): boolean {
  const known = rewritten.get(schema);
  if (known !== undefined) return known;
  // Set before the fields are looked at, so that a message that contains itself comes to an end.
  rewritten.set(schema, false);
  const holds =
    schema.file.proto.package !== 'google.protobuf' &&
    schema.fields.some(
      (field) =>
        field.enum !== undefined ||
        onlyIn(field) !== null ||
        onlyWith(field) !== null ||
        onlyWithout(field) !== null ||
        (field.message !== undefined && isRewritten(field.message)),
    );
  rewritten.set(schema, holds);
  return holds;
}
