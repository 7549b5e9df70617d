// `event-types`: the catalogue of event types, which admins change.
import { parseArgs } from 'node:util';
import type { JsonObject } from '@bufbuild/protobuf';
import {
  EventPriority,
  EventPrioritySchema,
  PayloadValidation,
  PayloadValidationSchema,
} from '../../gen/homechef/webhook/v1/event_type_pb.ts';
import type { EventType } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions, printable } from './connection.ts';
import { jsonBytes } from './json-argument.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: event-types [list] [options]
       event-types create <name> [options]
       event-types update <name> [options]

Lists the event types, or as an admin adds one or changes what is given of one.

  --description <text>   What has happened when it is sent
  --schema <json>        The JSON Schema of its payloads: JSON, or @file, or - for standard input
  --sample <json>        What a payload looks like
  --validation <name>    off, warn or strict
  --priority <name>      high, normal or low
  --deprecated           Publishers should use another type; --no-deprecated takes that back
  --force                With update: take a schema that is not compatible with the last
${CONNECTION_USAGE}
With --user the token is one of an admin, and to list one of a developer.`;

export const eventTypes: Command = { usage: USAGE, run };

const VALIDATIONS: Readonly<Record<string, PayloadValidation>> = {
  off: PayloadValidation.OFF,
  warn: PayloadValidation.WARN,
  strict: PayloadValidation.STRICT,
};
const PRIORITIES: Readonly<Record<string, EventPriority>> = {
  high: EventPriority.HIGH,
  normal: EventPriority.NORMAL,
  low: EventPriority.LOW,
};

const options = {
  ...connectionOptions,
  description: { type: 'string' },
  schema: { type: 'string' },
  sample: { type: 'string' },
  validation: { type: 'string' },
  priority: { type: 'string' },
  deprecated: { type: 'boolean' },
  force: { type: 'boolean', default: false },
} as const;

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true, allowNegative: true });
  const [action = 'list', ...names] = positionals;
  if (action === 'list') {
    if (names[0] !== undefined) throw new UsageError(`"${names[0]}" is one argument too many: list takes none`);
    const { events } = await connect(values, 'developer').webhooks.listEventTypes({});
    for (const type of events) print(type);
    return;
  }
  if (action !== 'create' && action !== 'update') throw new UsageError(`"${action}" is none of list, create and update`);
  const name = onlyArgument(names, '<name>');
  const given = {
    name,
    ...(values.description === undefined ? {} : { description: values.description }),
    ...(values.schema === undefined ? {} : { schema: jsonObject('--schema', values.schema) }),
    ...(values.sample === undefined ? {} : { sample: jsonObject('--sample', values.sample) }),
    ...(values.validation === undefined ? {} : { validation: oneOf('--validation', VALIDATIONS, values.validation) }),
    ...(values.priority === undefined ? {} : { defaultPriority: oneOf('--priority', PRIORITIES, values.priority) }),
    ...(values.deprecated === undefined ? {} : { deprecated: values.deprecated }),
  };
  const { webhooks } = connect(values, 'admin');
  print(
    await (action === 'create' ? webhooks.createEventType(given) : webhooks.updateEventType({ ...given, force: values.force })),
  );
}

function print({ name, description, schemaVersion, validation, defaultPriority, deprecated }: EventType): void {
  const schema = schemaVersion === 0 ? 'no schema' : `schema ${schemaVersion}, ${nameOf(PayloadValidationSchema, validation)}`;
  const priority = nameOf(EventPrioritySchema, defaultPriority);
  console.log(`${name}  ${priority}  ${schema}${deprecated ? '  deprecated' : ''}`);
  if (description !== '') console.log(`  ${printable(description)}`);
}

function nameOf(schema: { readonly value: Readonly<Record<number, { readonly localName: string }>> }, value: number): string {
  return schema.value[value]?.localName.toLowerCase() ?? '';
}

function oneOf<T>(option: string, values: Readonly<Record<string, T>>, name: string): T {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value === undefined) throw new UsageError(`${option}: "${name}" is none of ${Object.keys(values).join(', ')}`);
  return value;
}

function jsonObject(option: string, argument: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(jsonBytes(argument)).toString());
  } catch (error) {
    if (error instanceof SyntaxError) throw new UsageError(`${option}: is not JSON: ${error.message}`);
    throw error;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${option}: is JSON, but not an object`);
  return value as JsonObject;
}
