// What is recorded of a stream that ends in the middle: whether the caller went away or something of ours failed.
import { Code, ConnectError, createConnectRouter, createContextValues } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { observe, type CallRecord } from '../../src/transport/call/interceptors/observe.ts';

/** Reads one message of a stream that would go on, does something else to it, and returns what was recorded of the call. */
async function endedBy(
  act: (answers: AsyncIterator<Uint8Array>) => Promise<unknown>,
  next: () => Promise<object>,
): Promise<CallRecord | undefined> {
  const told: CallRecord[] = [];
  const router = createConnectRouter({ interceptors: [observe((call) => told.push(call))] });
  router.service(DeliveryService, {
    async *watchDeliveries() {
      yield {};
      yield await next();
    },
  });
  const handler = router.handlers.find((candidate) => candidate.method.name === 'WatchDeliveries');
  if (handler === undefined) throw new Error('the method has no handler');
  const { body } = await handler({
    httpVersion: '1.1',
    url: `http://localhost${handler.requestPath}`,
    method: 'POST',
    header: new Headers({ 'content-type': 'application/connect+json' }),
    body: (async function* request() {
      yield Uint8Array.from([0, 0, 0, 0, 2, 0x7b, 0x7d]);
    })(),
    signal: new AbortController().signal,
    contextValues: createContextValues(),
  });
  if (body === undefined) throw new Error('the stream has no body');
  const answers = body[Symbol.asyncIterator]();
  await answers.next();
  await act(answers);
  return told[0];
}

describe('a stream', () => {
  const more = () => Promise.resolve({});

  test('whose answer cannot be written any more was left by its caller', async () => {
    const broken = Object.assign(new Error('write ECANCELED'), { code: 'ECANCELED', syscall: 'write' });
    const call = await endedBy((answers) => answers.throw?.(broken).catch(() => undefined) ?? Promise.resolve(), more);
    expect(call).toMatchObject({ code: 'canceled' });
  });

  test('that we break off is our failure', async () => {
    const call = await endedBy(
      (answers) => answers.next(),
      () => Promise.reject(new Error('the oven is cold')),
    );
    expect(call).toMatchObject({ code: 'internal', error: { cause: { message: 'the oven is cold' } } });
  });

  test('that we refuse in the middle says why', async () => {
    const call = await endedBy(
      (answers) => answers.next(),
      () => Promise.reject(new ConnectError('too large', Code.ResourceExhausted)),
    );
    expect(call).toMatchObject({ code: 'invalid_argument', error: { reason: 'message_too_large' } });
  });
});
