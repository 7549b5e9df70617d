// A publisher as a process of its own: as many events as asked for over gRPC, at next to no cost, as the receiver takes them.
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  PublishEventResponseSchema,
  PublishEventsResponseSchema,
  PublishStreamResponseSchema,
} from '../gen/homechef/webhook/v1/event_pb.ts';
import { GrpcClient } from './grpc-client.ts';

export interface PublishJob {
  readonly mode: 'unary' | 'batch' | 'stream';
  readonly grpc: string;
  readonly token: string;
  readonly events: number;
  readonly users: number;
  readonly userPrefix: string;
  /** Calls in flight (unary, batch) or events sent ahead of their results (stream). */
  readonly window: number;
  /** Events a second; null as fast as they are answered. */
  readonly rate: number | null;
  readonly paddingBytes: number;
  /** So many ordering keys, each of one user; none: events without a key. */
  readonly keys?: number;
}

export interface PublishReport {
  readonly published: number;
  readonly failed: number;
  readonly durationMs: number;
  /** Milliseconds from call to answer. */
  readonly latenciesMs: readonly number[];
}

const BATCH_EVENTS = 100;
const METHODS = { unary: 'PublishEvent', batch: 'PublishEvents', stream: 'PublishStream' };

async function run(job: PublishJob): Promise<PublishReport> {
  const client = await GrpcClient.connect(job.grpc, `/homechef.webhook.v1.EventService/${METHODS[job.mode]}`, job.token);
  const padding = 'x'.repeat(job.paddingBytes);
  let next = 0;
  const event = (): Uint8Array => {
    next += 1;
    const sent = performance.timeOrigin + performance.now();
    const data = `{"order_id":"order_${next}","customer_id":"customer_456","chef_id":"chef_789","total_amount":45.99,"status":"pending","sent":${sent.toFixed(3)},"note":"${padding}"}`;
    const order = next % (job.keys ?? job.users);
    const key = job.keys === undefined ? null : `order_${order}`;
    return publishEventRequest('order.created', data, `${job.userPrefix}${order % job.users}`, key);
  };
  const latenciesMs: number[] = [];
  let published = 0;
  let failed = 0;
  const startedAt = performance.now();
  if (job.mode === 'stream') await stream();
  else await calls(job.mode === 'batch' ? BATCH_EVENTS : 1);
  client.close();
  return { published, failed, durationMs: performance.now() - startedAt, latenciesMs };

  function stream(): Promise<void> {
    return new Promise((resolve) => {
      let sent = 0;
      const id = client.open({
        onMessage(message) {
          const { result } = fromBinary(PublishStreamResponseSchema, message);
          if (result?.result.case === 'published') published += 1;
          else failed += 1;
          fill();
        },
        onEnd: resolve,
      });
      const fill = (): void => {
        while (sent < job.events && sent - published - failed < job.window) {
          sent += 1;
          client.send(id, nested(1, [event()]), sent === job.events);
        }
      };
      fill();
    });
  }

  function calls(size: number): Promise<void> {
    return new Promise((resolve) => {
      let issued = 0;
      let answered = 0;
      const issue = (): void => {
        issued += size;
        const callAt = performance.now();
        let accepted = 0;
        const id = client.open({
          onMessage(message) {
            if (size > 1) accepted = fromBinary(PublishEventsResponseSchema, message).accepted;
            else accepted = fromBinary(PublishEventResponseSchema, message).eventId === '' ? 0 : 1;
          },
          onEnd() {
            answered += size;
            published += accepted;
            failed += size - accepted;
            latenciesMs.push(performance.now() - callAt);
            if (answered >= job.events) resolve();
            else if (job.rate === null && issued < job.events) issue();
          },
        });
        client.send(id, size === 1 ? event() : nested(1, Array.from({ length: size }, event)), true);
      };
      if (job.rate === null) {
        for (let i = 0; i < job.window && issued < job.events; i += 1) issue();
        return;
      }
      const { rate } = job;
      const tick = setInterval(() => {
        const due = Math.min(job.events, Math.floor(((performance.now() - startedAt) / 1000) * rate));
        while (issued < due) issue();
        if (issued >= job.events) clearInterval(tick);
      }, 1);
    });
  }
}

/** Field numbers of proto/homechef/webhook/v1/event.proto. */
function publishEventRequest(eventType: string, dataJson: string, userId: string, orderingKey: string | null): Uint8Array {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string(eventType);
  writer.tag(3, WireType.LengthDelimited).string(dataJson);
  writer.tag(4, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(userId).join();
  if (orderingKey !== null) writer.tag(8, WireType.LengthDelimited).string(orderingKey);
  return writer.finish();
}

/** A message that holds others in one field. */
function nested(field: number, messages: readonly Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const message of messages) writer.tag(field, WireType.LengthDelimited).bytes(message);
  return writer.finish();
}

process.on('message', (job: PublishJob) => {
  run(job).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
