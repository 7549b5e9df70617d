// The header `Idempotency-Key` says the same as the field of that name, whatever the protocol. Where it could do nothing it is refused: a caller who
// sends one relies on it.
import type { DescMethod, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { invalid } from '../../../domain/errors.ts';

const HEADER = 'idempotency-key';
const FIELD = 'idempotency_key';

export function takeIdempotencyKey(): Interceptor {
  const takesKey = new Map<DescMethod, boolean>();
  return (next) => (request) => {
    const key = request.header.get(HEADER);
    if (key === null || key === '') return next(request);
    if (request.stream) {
      if (request.method.methodKind === 'server_streaming') return next(request);
      throw invalid('field_invalid', FIELD, 'a stream has none; each of its events has one of its own');
    }
    let takes = takesKey.get(request.method);
    if (takes === undefined) {
      takesKey.set(request.method, (takes = request.method.input.fields.some((field) => field.name === FIELD)));
    }
    // What only reads, or changes to what it names, can be repeated without.
    if (takes) fill(request.message, key);
    return next(request);
  };
}

function fill(message: Message, key: string): void {
  const keyed = message as Message & { idempotencyKey: string };
  if (keyed.idempotencyKey !== '' && keyed.idempotencyKey !== key) {
    throw invalid('field_invalid', FIELD, 'differs from the Idempotency-Key header');
  }
  keyed.idempotencyKey = key;
}
