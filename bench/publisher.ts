// A publisher as a process of its own: an order service that speaks gRPC with @grpc/grpc-js, made from the .proto files.
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, Metadata, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

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
}

export interface PublishReport {
  readonly published: number;
  readonly failed: number;
  readonly durationMs: number;
  /** Milliseconds from call to answer. */
  readonly latenciesMs: readonly number[];
}

const BATCH_EVENTS = 100;

interface Client {
  publishEvent(request: object, metadata: Metadata, done: (error: ServiceError | null, answer: unknown) => void): void;
  publishEvents(
    request: object,
    metadata: Metadata,
    done: (error: ServiceError | null, answer: { accepted: number }) => void,
  ): void;
  publishStream(metadata: Metadata): ClientDuplexStream<object, { result?: { published?: unknown } }>;
}

const definition = loadSync('homechef/webhook/v1/event.proto', {
  includeDirs: ['proto', 'node_modules/google-proto-files'].map((path) =>
    fileURLToPath(new URL(`../${path}`, import.meta.url)),
  ),
});
const loaded = loadPackageDefinition(definition) as unknown as {
  homechef: { webhook: { v1: { EventService: new (address: string, security: unknown) => Client } } };
};

async function run(job: PublishJob): Promise<PublishReport> {
  const client = new loaded.homechef.webhook.v1.EventService(job.grpc, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${job.token}`);
  const padding = 'x'.repeat(job.paddingBytes);
  let next = 0;
  const event = (): object => {
    next += 1;
    const sent = performance.timeOrigin + performance.now();
    return {
      eventType: 'order.created',
      dataJson: Buffer.from(
        `{"order_id":"order_${next}","customer_id":"customer_456","chef_id":"chef_789","total_amount":45.99,"status":"pending","sent":${sent.toFixed(3)},"note":"${padding}"}`,
      ),
      audience: { userIds: [`${job.userPrefix}${next % job.users}`] },
    };
  };
  const latenciesMs: number[] = [];
  let published = 0;
  let failed = 0;
  const startedAt = performance.now();
  if (job.mode === 'stream') await stream();
  else await calls(job.mode === 'batch' ? BATCH_EVENTS : 1);
  return { published, failed, durationMs: performance.now() - startedAt, latenciesMs };

  function stream(): Promise<void> {
    return new Promise((resolve, reject) => {
      const duplex = client.publishStream(metadata);
      let sent = 0;
      const fill = (): void => {
        while (sent < job.events && sent - published - failed < job.window) {
          sent += 1;
          duplex.write({ event: event() });
        }
        if (sent === job.events) duplex.end();
      };
      duplex.on('data', (answer) => {
        if (answer.result?.published === undefined || answer.result.published === null) failed += 1;
        else published += 1;
        fill();
      });
      duplex.on('error', reject);
      duplex.on('end', resolve);
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
        const done = (error: ServiceError | null, accepted: number): void => {
          answered += size;
          published += accepted;
          failed += size - accepted;
          if (error !== null && failed === size) console.error(error.message);
          latenciesMs.push(performance.now() - callAt);
          if (answered >= job.events) resolve();
          else if (job.rate === null && issued < job.events) issue();
        };
        if (size === 1) client.publishEvent(event(), metadata, (error) => done(error, error === null ? 1 : 0));
        else {
          client.publishEvents({ events: Array.from({ length: size }, event) }, metadata, (error, answer) =>
            done(error, error === null ? answer.accepted : 0),
          );
        }
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
