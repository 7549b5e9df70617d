// REST's short enum names: `failed` for DELIVERY_STATUS_FAILED.
import type { DescEnum, DescEnumValue } from '@bufbuild/protobuf';

/** Both spellings are understood. */
export function enumValueNamed(schema: DescEnum, name: string): DescEnumValue | undefined {
  return schema.values.find((value) => value.name === name || shortEnumName(schema, value) === name);
}

export function shortEnumName(schema: DescEnum, value: DescEnumValue): string {
  const prefix = schema.sharedPrefix ?? '';
  const name = value.name.toLowerCase();
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}
