// The writing side of a gRPC stream, on a real one.
import { connect, createServer } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { Ledger } from '../../src/transport/body/body-budget.ts';
import { GrowingBuffer } from '../../src/transport/body/growing-buffer.ts';
import { FrameBuffer } from '../../src/transport/body/grpc-frames.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { GrpcAnswers } from '../../src/transport/grpc/answers.ts';
import { SIZES } from './listeners.ts';

test('answers of one turn leave in one write, those of the next in another', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const call = session.request({ ':method': 'POST' });
  const [stream] = (await once(server, 'stream')) as [ServerHttp2Stream];
  const write = vi.spyOn(stream, 'write');

  const answers = new GrpcAnswers(stream, 'request-1');
  for (let n = 0; n < 500; n += 1) {
    answers.add(Buffer.from([n % 256]));
    await Promise.resolve();
  }
  await new Promise((resolve) => setImmediate(resolve));
  expect(write).toHaveBeenCalledTimes(1);
  answers.add(Buffer.from('next'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(write).toHaveBeenCalledTimes(2);
  answers.add(Buffer.from('last'));
  answers.end();
  expect(write).toHaveBeenCalledTimes(2);

  const frames = new FrameBuffer(
    SIZES.of(EventService.method.publishStream),
    new GrowingBuffer(new Ledger(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), ''),
  );
  for await (const chunk of call) frames.add(chunk as Buffer);
  const read = [];
  for (let answer = frames.take(); answer !== null; answer = frames.take()) read.push(answer);
  expect(read).toHaveLength(502);
  expect(read.at(-1)?.toString()).toBe('last');
  session.close();
  server.close();
});
