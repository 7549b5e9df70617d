// Holds every request against the rules that stand beside its fields in the .proto files, before any code of ours sees it.
import { createValidator } from '@bufbuild/protovalidate';
import type { Violation } from '@bufbuild/protovalidate';
import { getOption } from '@bufbuild/protobuf';
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { field as fieldRules, Ignore } from '../../../../gen/buf/validate/validate_pb.ts';
import { ServiceError } from '../../../domain/errors.ts';
import type { FieldViolation } from '../../../domain/errors.ts';

/** More violations than this do not help, and a request of a thousand bad items would answer with a megabyte. */
const MAX_VIOLATIONS = 20;

// The patterns are ours and written for linear time, so the platform's RegExp serves instead of the default RE2 in JavaScript.
const patterns = new Map<string, RegExp>();
const validator = createValidator({
  regexMatch(pattern, against) {
    let compiled = patterns.get(pattern);
    if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, 'u')));
    return compiled.test(against);
  },
});

export function validate(): Interceptor {
  // Throws, where it would reject: `authenticate` in front of it makes that the same, and a call is spared a promise.
  return (next) => (request) => {
    if (!request.stream) {
      validateMessage(request.method.input, request.message);
      return next(request);
    }
    // What a client streams is validated by the RPC itself: there one bad message is a bad result, not the end of the stream.
    if (request.method.methodKind !== 'server_streaming') return next(request);
    return next({ ...request, message: validated(request.method.input, request.message) });
  };
}

async function* validated(schema: DescMessage, messages: AsyncIterable<Message>): AsyncIterable<Message> {
  for await (const message of messages) {
    validateMessage(schema, message);
    yield message;
  }
}

/** Throws `field_invalid` with every field at fault, up to a limit. `prefix` stands in front of their paths. */
export function validateMessage(schema: DescMessage, message: Message, prefix = ''): void {
  const result = validator.validate(schema, message);
  if (result.kind === 'error') throw result.error;
  const found = result.violations ?? [];
  const subject = found.find(namesNothing);
  if (subject !== undefined) throw notFoundAt(fieldPath(subject), messageOf(subject));
  const violations: FieldViolation[] = found.slice(0, MAX_VIOLATIONS).map((violation) => ({
    field: prefix + fieldPath(violation),
    message: messageOf(violation),
  }));
  if (violations.length === 0) textViolations(schema, message, prefix, violations);
  if (violations.length > 0) throw fieldInvalid(violations);
}

export function fieldInvalid(violations: readonly FieldViolation[]): ServiceError {
  const [first] = violations;
  return new ServiceError('field_invalid', `${first?.field}: ${first?.message}`, { violations });
}

const ID_FIELD = /^(webhook|event|delivery|replay)_ids?$/;

/** The kind of thing whose id this should be and is not; null: it is about something else. */
function kindOfId({ ruleId, field }: Violation): string | null {
  const [first] = field;
  if (ruleId !== 'string.pattern' || first?.kind !== 'field') return null;
  return ID_FIELD.exec(first.name)?.[1] ?? null;
}

/** Whether what the whole call is about is named by something that is no id. One that only narrows a list may be left out. */
function namesNothing(violation: Violation): boolean {
  const [first, ...more] = violation.field;
  if (kindOfId(violation) === null || first?.kind !== 'field' || first.fieldKind !== 'scalar' || more.length > 0) return false;
  return getOption(first, fieldRules).ignore !== Ignore.IF_ZERO_VALUE;
}

function notFoundAt(field: string, message: string): ServiceError {
  return new ServiceError('not_found', `${field}: ${message}`, { violations: [{ field, message }] });
}

function messageOf(violation: Violation): string {
  const kind = kindOfId(violation);
  if (kind !== null) return `is not the id of ${kind === 'event' ? 'an event' : `a ${kind}`}`;
  return violation.message === '' ? 'is not valid' : violation.message;
}

/** `retry_policy.max_retries`, `events[0]`, `custom_headers["X-A"]`; a oneof goes by its first field. */
function fieldPath(violation: Violation): string {
  let path = '';
  for (const step of violation.field) {
    switch (step.kind) {
      case 'field':
        path += (path === '' ? '' : '.') + step.name;
        break;
      case 'oneof':
        path += (path === '' ? '' : '.') + (step.fields[0]?.name ?? step.name);
        break;
      case 'list_sub':
        path += `[${step.index}]`;
        break;
      case 'map_sub':
        path += `[${JSON.stringify(String(step.key))}]`;
        break;
      case 'extension':
        path += `[${step.typeName}]`;
        break;
    }
  }
  return path;
}

// PostgreSQL's text cannot hold U+0000 and its encoding refuses lone surrogates: without this they would fail as our own errors.
// Messages in lists are left out: those are validated one by one, each for itself.
function textViolations(schema: DescMessage, message: Message, prefix: string, found: FieldViolation[]): void {
  if (schema.file.proto.package === 'google.protobuf') return;
  const record = message as unknown as Record<string, unknown>;
  for (const field of schema.fields) {
    const value = field.oneof === undefined ? record[field.localName] : oneofValue(record, field);
    if (value === undefined || value === null) continue;
    if (field.fieldKind === 'scalar') {
      if (isUnfit(value)) found.push(unfit(prefix + field.name));
    } else if (field.fieldKind === 'message') textViolations(field.message, value as Message, `${prefix}${field.name}.`, found);
    else if (field.fieldKind === 'list' && field.listKind === 'scalar') {
      (value as unknown[]).forEach((item, index) => {
        if (isUnfit(item)) found.push(unfit(`${prefix}${field.name}[${index}]`));
      });
    } else if (field.fieldKind === 'map' && field.mapKind === 'scalar') {
      for (const [key, item] of Object.entries(value)) {
        if (isUnfit(key)) found.push(unfit(prefix + field.name));
        if (isUnfit(item)) found.push(unfit(`${prefix}${field.name}[${JSON.stringify(key)}]`));
      }
    }
    if (found.length >= MAX_VIOLATIONS) return;
  }
}

function oneofValue(record: Record<string, unknown>, field: DescField): unknown {
  const chosen = record[field.oneof?.localName ?? ''] as { case?: string; value?: unknown } | undefined;
  return chosen?.case === field.localName ? chosen.value : undefined;
}

function isUnfit(value: unknown): boolean {
  return typeof value === 'string' && (value.includes('\0') || !value.isWellFormed());
}

function unfit(field: string): FieldViolation {
  return { field, message: 'must be text without U+0000 and lone surrogates' };
}
