// The header `Idempotency-Key` says the same as the field of that name, whatever the protocol. Where it could do nothing it is refused: a caller who
// sends one relies on it.
import type { DescMessage, DescMethod, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { invalid } from '../../../domain/errors.ts';

const HEADER = 'idempotency-key';
const FIELD = 'idempotency_key';

/** Whether a method's request has the key, only the messages in it have one each, or nothing has: what only reads can be repeated without. */
type Place = 'request' | 'items' | 'nowhere';

export function takeIdempotencyKey(): Interceptor {
  const places = new Map<DescMethod, Place>();
  return (next) => (request) => {
    const key = request.header.get(HEADER);
    if (key === null || key === '') return next(request);
    let place = places.get(request.method);
    if (place === undefined) places.set(request.method, (place = placeIn(request.method.input)));
    if (place === 'items') throw invalid('field_invalid', FIELD, 'a stream has none; each of its events has one of its own');
    if (place === 'request') fill(request.message as Message & { idempotencyKey: string }, key);
    return next(request);
  };
}

function placeIn({ fields }: DescMessage): Place {
  if (fields.some(({ name }) => name === FIELD)) return 'request';
  return fields.some(({ message }) => message?.fields.some(({ name }) => name === FIELD) === true) ? 'items' : 'nowhere';
}

function fill(message: Message & { idempotencyKey: string }, key: string): void {
  if (message.idempotencyKey !== '' && message.idempotencyKey !== key) {
    throw invalid('field_invalid', FIELD, 'differs from the Idempotency-Key header');
  }
  message.idempotencyKey = key;
}
