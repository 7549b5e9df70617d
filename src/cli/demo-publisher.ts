// The demo's order service: a gRPC client made from the .proto files, as a service in any language would have.
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, Metadata, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface Publisher {
  publish(
    eventType: string,
    data: object,
    userId: string,
    idempotencyKey: string,
  ): Promise<{ event_id: string; deliveries: number }>;
  close(): void;
}

type PublishEvent = (
  request: object,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, response: { event_id: string; deliveries: number }) => void,
) => void;

const CALL_TIMEOUT_MS = 10_000;

export function createPublisher(address: string, token: string): Publisher {
  const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const definition = loadSync('homechef/webhook/v1/event.proto', {
    includeDirs: [root('proto'), root('node_modules/google-proto-files')],
    keepCase: true,
    longs: Number,
    defaults: true,
  });
  const packages = loadPackageDefinition(definition) as unknown as {
    homechef: {
      webhook: { v1: { EventService: new (address: string, credentials: unknown) => Client & { PublishEvent: PublishEvent } } };
    };
  };
  const client = new packages.homechef.webhook.v1.EventService(address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return {
    publish: (eventType, data, userId, idempotencyKey) =>
      new Promise((resolve, reject) => {
        const request = {
          event_type: eventType,
          data_json: Buffer.from(JSON.stringify(data)),
          audience: { user_ids: [userId] },
          idempotency_key: idempotencyKey,
        };
        const deadline = Date.now() + CALL_TIMEOUT_MS;
        client.PublishEvent(request, metadata, { deadline }, (error, response) =>
          error === null ? resolve(response) : reject(error),
        );
      }),
    close: () => client.close(),
  };
}
