// From a query string to JSON: text becomes what its field wants, and stays text where it cannot, so that the next step names the fault.
import { ScalarType } from '@bufbuild/protobuf';
import type { DescField, DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf';
import { invalid, ServiceError } from '../../domain/errors.ts';

/** Puts the parameters into `json`. An empty value means "not given": forms send every field they have. */
export function readQuery(schema: DescMessage, query: string, json: JsonObject): void {
  const given = queryParameters(query).filter(([, text]) => text !== '');
  const repeated = new Set(given.map(([name]) => name).filter((name, index, names) => names.indexOf(name) !== index));
  for (const [name, text] of given) {
    const { parent, field: named } = place(schema, name, json);
    const field = (repeated.has(name) ? listBeside(schema, name) : undefined) ?? named;
    const value = fromText(field, text);
    if (field.fieldKind === 'list') parent[field.name] = [...((parent[field.name] as JsonValue[] | undefined) ?? []), value];
    else if (Object.hasOwn(parent, field.name)) throw invalid('field_invalid', name, 'is given more than once');
    else parent[field.name] = value;
  }
}

/** The field for several of what `name` is one of, as `statuses` is beside `status`: a query repeats the name of the one. */
export function listBeside(schema: DescMessage, name: string): DescField | undefined {
  return schema.fields.find((field) => field.fieldKind === 'list' && (field.name === `${name}s` || field.name === `${name}es`));
}

/** The same error, with the parameters of the query in place of fields that it does not name. */
export function namedAsInQuery(schema: DescMessage, query: string, error: ServiceError): ServiceError {
  const given = new Set(query.split('&').map((pair) => pair.split('=', 1)[0]));
  const violations = error.violations.map(({ field, message }) => {
    const list = field.replace(/\[\d+\]$/, '');
    const one = given.has(list) ? undefined : schema.fields.find(({ name }) => listBeside(schema, name)?.name === list);
    return { field: one?.name ?? field, message };
  });
  const [first] = violations;
  if (first === undefined || violations.every(({ field }, index) => field === error.violations[index]?.field)) return error;
  return new ServiceError(error.reason, `${first.field}: ${first.message}`, { violations, cause: error.cause });
}

/** Names and values of a query string. Throws `body_malformed` for what is not percent-encoded UTF-8. */
export function queryParameters(query: string): [string, string][] {
  try {
    return query
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const equals = pair.indexOf('=');
        const decode = (text: string) => decodeURIComponent(text.replaceAll('+', ' '));
        return equals < 0 ? [decode(pair), ''] : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
      });
  } catch (cause) {
    throw new ServiceError('body_malformed', 'The query string is not percent-encoded UTF-8.', { cause });
  }
}

/** Where `a.b` belongs: the object that stands for `a`, made if need be, and the descriptor of `b`. */
function place(schema: DescMessage, name: string, json: JsonObject): { parent: JsonObject; field: DescField } {
  const steps = name.split('.');
  let parent = json;
  let message = schema;
  for (const [index, step] of steps.entries()) {
    const field = message.fields.find((candidate) => candidate.name === step);
    if (field === undefined) throw invalid('field_unknown', name, 'is not a parameter of this request');
    const isMessage = field.fieldKind === 'message' && field.message.file.proto.package !== 'google.protobuf';
    if (index === steps.length - 1) {
      const isText = field.fieldKind === 'list' ? field.listKind !== 'message' : field.fieldKind !== 'map' && !isMessage;
      if (!isText) throw invalid('field_unknown', name, 'cannot be a query parameter');
      return { parent, field };
    }
    if (!isMessage) throw invalid('field_unknown', name, 'is not a parameter of this request');
    parent = (parent[step] ??= {}) as JsonObject;
    message = field.message;
  }
  throw invalid('field_unknown', name, 'is not a parameter of this request');
}

function fromText(field: DescField, text: string): JsonValue {
  switch (field.scalar) {
    case ScalarType.BOOL:
      return text === 'true' ? true : text === 'false' ? false : text;
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return /^-?\d{1,11}$/.test(text) ? Number(text) : text;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return /^-?\d{1,30}(\.\d{1,30})?$/.test(text) ? Number(text) : text;
    default:
      return text;
  }
}
