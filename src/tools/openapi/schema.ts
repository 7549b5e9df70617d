// From messages and their validation rules to JSON Schema, as REST spells them.
import { getOption, hasOption, ScalarType } from '@bufbuild/protobuf';
import type { DescEnum, DescField, DescMessage, DescOneof } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { field as fieldRules, Ignore, oneof as oneofRules } from '../../../gen/buf/validate/validate_pb.ts';
import type { FieldRules } from '../../../gen/buf/validate/validate_pb.ts';
import { only_in, only_with, only_without } from '../../../gen/homechef/webhook/v1/policy_pb.ts';
import { shortEnumName } from '../../transport/body/enum-names.ts';
import { commentOf } from './contract.ts';

export type Schema = Record<string, unknown>;
/** What callers send is closed and says what must be there; what they get is open to new fields and says what always is. */
export type Direction = 'input' | 'output';

/**
 * Fields whose values are the names of the catalogue. `x-extensible-enum` is how a list that grows is written: generators offer the names,
 * and a client made today takes those of tomorrow.
 */
const EVENT_TYPE_FIELDS: ReadonlySet<string> = new Set(['event_type', 'events']);

export class Schemas {
  readonly components: Record<string, Schema> = {};
  readonly #directions = new Map<string, Direction>();
  readonly #eventTypes: Schema;

  constructor(eventTypes: readonly string[]) {
    this.#eventTypes = { 'x-extensible-enum': eventTypes };
  }

  /** A reference to a message's schema, made on first use. */
  reference(message: DescMessage, direction: Direction): Schema {
    this.#claim(message, direction);
    const name = componentName(message);
    if (this.components[name] === undefined) {
      // Entered before its fields are looked at, so that a message that contains itself comes to an end.
      this.components[name] = {};
      this.components[name] = this.object(message, direction);
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  /** The schema of a message, without the fields that stand elsewhere in the request. */
  object(message: DescMessage, direction: Direction, without: readonly string[] = []): Schema {
    const fields = message.fields.filter((field) => !without.includes(field.name));
    const required = fields.filter((field) => (direction === 'input' ? mustBeGiven(field) : isAlwaysThere(field)));
    return {
      type: 'object',
      ...described(commentOf(message)),
      properties: Object.fromEntries(fields.map((field) => [field.name, this.field(field, direction)])),
      ...(required.length > 0 ? { required: required.map((field) => field.name) } : {}),
      ...exclusive(message.oneofs, direction),
      ...(direction === 'input' ? { additionalProperties: false } : {}),
    };
  }

  field(field: DescField, direction: Direction): Schema {
    const rules = hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
    const schema = this.#typed(field, rules, direction);
    const description = commentOf(field);
    if (description === '') return schema;
    // The description of the use goes before that of the type.
    return { ...schema, description };
  }

  #typed(field: DescField, rules: FieldRules | undefined, direction: Direction): Schema {
    switch (field.fieldKind) {
      case 'scalar':
        return this.#scalar(field, rules);
      case 'enum':
        return this.#enum(field.enum);
      case 'message':
        return this.#message(field.message, direction);
      case 'list': {
        const list = rules?.type.case === 'repeated' ? rules.type.value : undefined;
        const items = this.#item(field, list?.items, direction);
        return {
          type: 'array',
          items,
          ...(list?.minItems !== undefined && list.minItems > 0n ? { minItems: Number(list.minItems) } : {}),
          ...(list?.maxItems !== undefined && list.maxItems > 0n ? { maxItems: Number(list.maxItems) } : {}),
          ...(list?.unique === true ? { uniqueItems: true } : {}),
        };
      }
      case 'map': {
        const map = rules?.type.case === 'map' ? rules.type.value : undefined;
        return {
          type: 'object',
          additionalProperties: this.#item(field, map?.values, direction),
          ...(map?.maxPairs !== undefined && map.maxPairs > 0n ? { maxProperties: Number(map.maxPairs) } : {}),
        };
      }
    }
  }

  #item(field: DescField & { fieldKind: 'list' | 'map' }, rules: FieldRules | undefined, direction: Direction): Schema {
    if (field.message !== undefined) return this.#message(field.message, direction);
    if (field.enum !== undefined) return this.#enum(field.enum);
    return this.#scalar(field, rules);
  }

  #scalar(field: DescField & { scalar: ScalarType }, rules: FieldRules | undefined): Schema {
    const isEventType = field.scalar === ScalarType.STRING && EVENT_TYPE_FIELDS.has(field.name);
    return { ...scalar(field.scalar), ...limits(rules), ...(isEventType ? this.#eventTypes : {}) };
  }

  #message(message: DescMessage, direction: Direction): Schema {
    switch (message.typeName) {
      case 'google.protobuf.Timestamp':
        return { type: 'string', format: 'date-time' };
      case 'google.protobuf.Struct':
        return { type: 'object', additionalProperties: true };
      // Any JSON value.
      case 'google.protobuf.Value':
        return {};
      default:
        return this.reference(message, direction);
    }
  }

  // Go has one scope for the constants of all enums, so each is named as in the contract: `DELIVERY_STATUS_FAILED`.
  #enum(schema: DescEnum): Schema {
    const values = schema.values.filter((value) => value.number !== 0);
    const lines = values.map((value) => {
      const comment = commentOf(value);
      return `- \`${shortEnumName(schema, value)}\`${comment === '' ? '' : `: ${comment}`}`;
    });
    this.components[schema.name] ??= {
      type: 'string',
      description: [commentOf(schema), lines.join('\n')].filter((part) => part !== '').join('\n\n'),
      enum: values.map((value) => shortEnumName(schema, value)),
      'x-enum-varnames': values.map((value) => value.name),
    };
    return { $ref: `#/components/schemas/${schema.name}` };
  }

  // A message used both ways would need two schemas, unless nothing about it differs by direction.
  #claim(message: DescMessage, direction: Direction): void {
    const claimed = this.#directions.get(message.name);
    this.#directions.set(message.name, direction);
    if (claimed === undefined || claimed === direction) return;
    if (message.fields.some((field) => mustBeGiven(field) || isAlwaysThere(field))) {
      throw new Error(`${message.typeName} is sent and answered: its schema cannot say what is required`);
    }
  }
}

/** Whether a request without this field is refused. */
function mustBeGiven(field: DescField): boolean {
  if (!hasOption(field, fieldRules)) return false;
  const rules = getOption(field, fieldRules);
  if (rules.ignore !== Ignore.UNSPECIFIED) return false;
  if (rules.required) return true;
  // Rules of an `optional` field hold only once it is given.
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return false;
  switch (rules.type.case) {
    case 'string':
      return rules.type.value.minLen > 0n || rules.type.value.pattern !== '';
    case 'repeated':
      return rules.type.value.minItems > 0n;
    default:
      return false;
  }
}

/** REST writes every field that has no presence of its own, empty or not, but for those of some answers alone. */
function isAlwaysThere(field: DescField): boolean {
  const isOfSomeAnswers = [only_in, only_with, only_without].some((option) => hasOption(field, option));
  return field.presence === FeatureSet_FieldPresence.IMPLICIT && !isOfSomeAnswers;
}

function scalar(type: ScalarType): Schema {
  switch (type) {
    case ScalarType.STRING:
      return { type: 'string' };
    case ScalarType.BOOL:
      return { type: 'boolean' };
    case ScalarType.INT32:
      return { type: 'integer', format: 'int32' };
    case ScalarType.DOUBLE:
      return { type: 'number', format: 'double' };
    case ScalarType.BYTES:
      return { type: 'string', contentEncoding: 'base64' };
    default:
      throw new Error(`no JSON Schema for scalar type ${ScalarType[type]}: add it here and to the gateway’s tests`);
  }
}

function limits(rules: FieldRules | undefined): Schema {
  switch (rules?.type.case) {
    case 'string': {
      const { minLen, maxLen, pattern } = rules.type.value;
      return {
        ...(minLen > 0n ? { minLength: Number(minLen) } : {}),
        ...(maxLen > 0n ? { maxLength: Number(maxLen) } : {}),
        ...(pattern === '' ? {} : { pattern }),
      };
    }
    case 'int32':
    case 'double': {
      const { lessThan, greaterThan } = rules.type.value;
      return {
        ...(greaterThan.case === undefined
          ? {}
          : { [greaterThan.case === 'gt' ? 'exclusiveMinimum' : 'minimum']: greaterThan.value }),
        ...(lessThan.case === undefined ? {} : { [lessThan.case === 'lt' ? 'exclusiveMaximum' : 'maximum']: lessThan.value }),
      };
    }
    default:
      return {};
  }
}

/**
 * Which fields exclude each other, as what is refused. As `oneOf` of what is required it would say the same, but client generators make
 * a type of each branch then, and lose the fields that all branches share.
 */
function exclusive(oneofs: readonly DescOneof[], direction: Direction): Schema {
  const refused = oneofs.flatMap((oneof) => {
    const present: Schema[] = oneof.fields.map((field) => ({ required: [field.name] }));
    const together = oneof.fields.flatMap((first, index) =>
      oneof.fields.slice(index + 1).map((second): Schema => ({ required: [first.name, second.name] })),
    );
    const must = direction === 'output' || (hasOption(oneof, oneofRules) && getOption(oneof, oneofRules).required);
    return must ? [...together, { not: { anyOf: present } }] : together;
  });
  return refused.length === 0 ? {} : { not: { anyOf: refused } };
}

/** `PublishEventReply` of the message `PublishEventResponse`: generators name the HTTP response of an operation by that pattern. */
function componentName({ name }: DescMessage): string {
  return name.replace(/Response$/, 'Reply');
}

function described(text: string): Schema {
  return text === '' ? {} : { description: text };
}
