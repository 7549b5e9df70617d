// Reads the message of a call once its caller is known and counted: before that nothing is decoded or unpacked.
import type { Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { findPrincipal, findProblem, findReader } from '../call-context.ts';

export function readMessage(): Interceptor {
  // Throws, where it would reject: `authenticate` in front of it makes that the same.
  return (next) => (request) => {
    const problem = findProblem(request.contextValues);
    if (problem !== null) throw problem;
    const read = findReader(request.contextValues);
    if (read === null) return next(request);
    const message = read(findPrincipal(request.contextValues));
    if (request.stream) return next({ ...request, message: Symbol.asyncIterator in message ? message : one(message) });
    const received = async (): ReturnType<typeof next> => next({ ...request, message: (await message) as Message });
    return received();
  };
}

async function* one(message: Message | Promise<Message>): AsyncIterable<Message> {
  yield await message;
}
