// Answers an RPC whose caller may repeat it: with a key, a repeated call gets the message that the first one got.
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonValue, Message, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import type { ManagementContext } from '../../service/context.ts';
import { IdempotentCall } from '../../service/idempotent-call.ts';
import { principalOf } from './call-context.ts';

type Repeatable = Message & { readonly idempotencyKey: string };

/**
 * @param schema of the answer
 * @param run gets null when the caller gave no key
 */
export async function answerOnce<Result, Schema extends DescMessage>(
  context: ManagementContext,
  { request, call }: { readonly request: Repeatable; readonly call: HandlerContext },
  schema: Schema,
  toMessage: (result: Result) => MessageInitShape<Schema>,
  run: (once: IdempotentCall<Result> | null) => Promise<Result>,
): Promise<MessageShape<Schema>> {
  const message = (result: Result): MessageShape<Schema> => create(schema, toMessage(result));
  const { idempotencyKey: key } = request;
  if (key === '') return message(await run(null));
  const principal = principalOf(call);
  const once = new IdempotentCall<Result>(context, {
    principal,
    method: call.method.name,
    key,
    requestHash: requestHash(call.method.input, request, principal.role),
    toBytes: (result) => toBinary(schema, message(result)),
  });
  const answered = await once.run(() => run(once));
  return 'result' in answered ? message(answered.result) : fromBinary(schema, answered.firstAnswer);
}

// Over the fields and not over the bytes: clients write maps in any order. The role is part of it, since it decides what a caller may see.
function requestHash(schema: DescMessage, request: Repeatable, role: string): string {
  const { idempotency_key: _, ...asked } = toJson(schema, request, { useProtoFieldName: true }) as Record<string, JsonValue>;
  return createHash('sha256')
    .update(JSON.stringify([role, inOrder(asked)]))
    .digest('base64url');
}

function inOrder(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(inOrder);
  const entries = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return entries.map(([name, inner]) => [name, inOrder(inner)]);
}
