// The two listeners, as they run in production, over services that live in memory: what the transport tests call.
import type { CheckedType } from '../../src/service/event-catalogue.ts';
import { eventTypes } from '../../src/domain/event-types.ts';
import type { TrustProxy } from '../../src/config.ts';
import type { VerifyToken } from '../../src/transport/call/interceptors/authenticate.ts';
import { fileURLToPath } from 'node:url';
import { createClient } from '@connectrpc/connect';
import type { Client, Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import type { DescService } from '@bufbuild/protobuf';
import { credentials, loadPackageDefinition, Metadata } from '@grpc/grpc-js';
import type { ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { DeliveryService, DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { WebhookScope, WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { notFound, ServiceError } from '../../src/domain/errors.ts';
import type { EventRow } from '../../src/persistence/queries/insert-events.ts';
import type { Principal } from '../../src/security/tokens.ts';
import type { PublishContext } from '../../src/service/publish-event.ts';
import type { Published } from '../../src/service/publisher.ts';
import { callChain } from '../../src/transport/call/call-chain.ts';
import { principalOf } from '../../src/transport/call/call-context.ts';
import { SizeLimits } from '../../src/transport/body/size-limits.ts';
import { createGrpcServer } from '../../src/transport/grpc/server.ts';
import type { HealthReport, HealthView } from '../../src/maintenance/health.ts';
import { createHttpServer } from '../../src/transport/http/http-server.ts';
import type { HttpServerOptions } from '../../src/transport/http/http-server.ts';
import type { CallRecord } from '../../src/transport/call/interceptors/observe.ts';
import { serve } from '../../src/transport/call/service-entry.ts';
import type { ServiceEntry } from '../../src/transport/call/service-entry.ts';
import { health } from '../../src/transport/rpc/health.ts';
import { publishEvent } from '../../src/transport/rpc/publish-event.ts';
import { publishEvents } from '../../src/transport/rpc/publish-events.ts';
import { publishStream } from '../../src/transport/rpc/publish-stream.ts';

export const WEBHOOK_ID = `webhook_${'0'.repeat(26)}`;
export const MAX_PAYLOAD_BYTES = 1_048_576;
export const MAX_MESSAGE_BYTES = 8_454_144;
export const MAX_BATCH_BYTES = 16_777_216;
export const SIZES = new SizeLimits({ maxMessageBytes: MAX_MESSAGE_BYTES, maxBatchBytes: MAX_BATCH_BYTES });

export interface DoorsOptions {
  readonly entries?: readonly ServiceEntry[];
  readonly http?: Partial<HttpServerOptions>;
  readonly maxCallMs?: number;
  readonly tls?: HttpServerOptions['config']['tls'];
  readonly trustProxy?: TrustProxy;
  readonly verifyToken?: VerifyToken;
}

/** What the in-memory services were given, and what they shall do. */
export class World {
  readonly events: EventRow[] = [];
  readonly calls: CallRecord[] = [];
  readonly errors: unknown[] = [];
  readonly created: unknown[] = [];
  /** Thrown by the next calls, when set. */
  failure: unknown = null;
  report: HealthReport = { ready: true, checks: { database: 'ok', redis: 'ok' }, problems: {} };
  /** Answers a publish; by default at once. */
  publish: (event: EventRow) => Promise<Published> = async (event) => ({ eventId: event.id, deliveries: 1, duplicate: false });

  /** Set `isBusy` and it says so. */
  readonly publisher = {
    isBusy: false,
    publish: async (event: EventRow): Promise<Published> => {
      if (this.failure !== null) throw this.failure;
      this.events.push(event);
      return this.publish(event);
    },
    takeBatchKey: () => Promise.resolve(),
  };

  readonly context: PublishContext = {
    config: { maxPayloadBytes: MAX_PAYLOAD_BYTES },
    catalogue: { find: typeNamed, checkPayload: () => undefined },
    now: Date.now,
    publisher: this.publisher,
    findAudience: () => Promise.resolve([]),
  };

  readonly health: HealthView = {
    report: () => this.report,
    dependencies: () => ({ user: 'ok' }),
  };
}

/** `Bearer developer:user123`, with `:<ms>` behind it for a token that expires so soon. */
export async function verifyToken(header: string | null): Promise<Principal> {
  if (header === null) throw new ServiceError('token_missing', 'Send a bearer token.');
  const match = /^Bearer (developer|service|admin):(\w+)(?::(\d+))?$/.exec(header);
  if (match === null) throw new ServiceError('token_invalid', 'The token is not valid.');
  const [, role, userId, ms] = match;
  return { userId: userId ?? '', role: role as Principal['role'], expiresAtMs: Date.now() + Number(ms ?? 3_600_000) };
}

/** The documented types, as an unchanged catalogue has them. */
function typeNamed(name: string): CheckedType | undefined {
  const documented = eventTypes.find((type) => type.name === name);
  const at = new Date(0);
  const more = {
    schemaVersion: 1,
    validation: 'off',
    isDeprecated: false,
    isDocumented: true,
    check: null,
    createdAt: at,
    updatedAt: at,
  } as const;
  return documented === undefined ? undefined : { ...documented, ...more };
}

export function memoryServices(world: World): ServiceEntry[] {
  const webhook = {
    id: WEBHOOK_ID,
    userId: 'user123',
    url: 'https://example.com/',
    events: ['order.created'],
    scope: WebhookScope.USER,
  };
  const unused = async (): Promise<never> => {
    throw world.failure ?? notFound('webhook');
  };
  return [
    serve(EventService, {
      publishEvent: publishEvent(world.context),
      publishEvents: publishEvents(world.context),
      publishStream: publishStream(world.context),
      listEvents: unused,
      getEvent: unused,
      explainEvent: unused,
    }),
    serve(WebhookService, {
      listWebhooks: async (request) => ({
        webhooks: [webhook],
        page: request.page,
        limit: request.limit,
        total: 1,
        totalIsExact: true,
      }),
      createWebhook: async (request) => {
        world.created.push(request);
        return { ...webhook, url: request.url, events: request.events, secret: 'whsec_x' };
      },
      getWebhook: async ({ webhookId }, call) => {
        if (world.failure !== null) throw world.failure;
        if (webhookId !== WEBHOOK_ID || principalOf(call).userId !== 'user123') throw notFound('webhook');
        return webhook;
      },
      updateWebhook: async (request) => ({ ...webhook, url: request.url ?? webhook.url }),
      deleteWebhook: async () => ({}),
      testWebhook: async ({ eventType }) => ({ deliveryId: eventType, success: true }),
      testFilter: unused,
      diagnoseWebhook: unused,
      diagnoseUrl: unused,
      rotateSecret: async () => webhook,
      completeRotation: unused,
      cancelRotation: unused,
      pauseWebhook: unused,
      resumeWebhook: unused,
      getSecret: unused,
      getWebhookHistory: unused,
      getWebhookStats: unused,
      getOverview: unused,
      listServiceKeys: unused,
      rotateServiceKey: unused,
      createEventType: unused,
      getEventType: unused,
      updateEventType: unused,
      listEventTypes: async () => ({ events: [{ name: 'order.created', description: 'x', sample: { n: 1 } }] }),
    }),
    serve(DeliveryService, {
      listDeliveries: async (request) => ({
        deliveries: [
          { id: 'delivery_1', status: request.status, eventType: request.eventType, createdAt: request.since ?? {} },
        ],
        page: request.page,
        limit: request.limit,
      }),
      getDelivery: unused,
      explainDelivery: unused,
      cancelDelivery: async ({ deliveryId }) => ({ id: deliveryId, status: DeliveryStatus.CANCELLED }),
      retryDelivery: async ({ deliveryId }) => ({ id: deliveryId, status: DeliveryStatus.PENDING }),
      watchDeliveries: async function* (_request, call) {
        yield { cursor: '1', message: { case: 'heartbeat' as const, value: {} } };
        await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      },
      watchEvents: async function* () {
        yield await unused();
      },
    }),
    serve(Health, health(world.health, ['homechef.webhook.v1.EventService'])),
  ];
}

export async function openListeners(options: DoorsOptions = {}) {
  const world = new World();
  const shutdown = new AbortController();
  const verify = options.verifyToken ?? verifyToken;
  const interceptors = callChain({
    verifyToken: verify,
    onCall: (call) => world.calls.push(call),
    shutdown: shutdown.signal,
    ...(options.maxCallMs === undefined ? {} : { maxCallMs: options.maxCallMs }),
  });
  const config = {
    host: '127.0.0.1',
    httpPort: 0,
    grpcPort: 0,
    version: '1.0.0',
    maxMessageBytes: MAX_MESSAGE_BYTES,
    maxBatchBytes: MAX_BATCH_BYTES,
    corsOrigins: ['https://console.example.com'],
    trustProxy: options.trustProxy ?? 0,
    tls: options.tls ?? null,
  };
  const entries = [...memoryServices(world), ...(options.entries ?? [])];
  const onError = (error: unknown): void => void world.errors.push(error);
  const http = createHttpServer({
    config,
    entries,
    interceptors,
    verifyToken: verify,
    health: world.health,
    onError,
    ...options.http,
  });
  const limits = options.http?.limits ?? {};
  const bodyBudget = options.http?.bodyBudget === undefined ? {} : { bodyBudget: options.http.bodyBudget };
  const grpc = createGrpcServer({ config, entries, interceptors, onError, limits, ...bodyBudget });
  const [httpPort, grpcPort] = await Promise.all([http.listen(), grpc.listen()]);
  const scheme = config.tls === null ? 'http' : 'https';
  return {
    world,
    httpPort,
    grpcPort,
    httpUrl: `${scheme}://127.0.0.1:${httpPort}`,
    grpcUrl: `${scheme}://127.0.0.1:${grpcPort}`,
    /** What a process does when it stops: streams end first, then the listeners drain. */
    async close(graceMs = 20_000): Promise<void> {
      shutdown.abort();
      await Promise.all([http.close(graceMs), grpc.close(graceMs)]);
    },
  };
}

export type Listeners = Awaited<ReturnType<typeof openListeners>>;

export function connectClient<Service extends DescService>(
  service: Service,
  listeners: Listeners,
  protocol: 'connect' | 'grpc-web' | 'grpc',
  token: string | null = 'service:orders',
): Client<Service> {
  const interceptors =
    token === null
      ? []
      : [
          (next: Parameters<NonNullable<Parameters<typeof createConnectTransport>[0]['interceptors']>[number]>[0]) =>
            (request: Parameters<typeof next>[0]) => {
              request.header.set('authorization', `Bearer ${token}`);
              return next(request);
            },
        ];
  const transports: Record<typeof protocol, () => Transport> = {
    connect: () => createConnectTransport({ baseUrl: listeners.httpUrl, httpVersion: '1.1', interceptors }),
    'grpc-web': () => createGrpcWebTransport({ baseUrl: listeners.httpUrl, httpVersion: '1.1', interceptors }),
    grpc: () => createGrpcTransport({ baseUrl: listeners.grpcUrl, interceptors }),
  };
  return createClient(service, transports[protocol]());
}

/** A client as other languages have it: from the .proto files, with Google's own library. */
export function grpcJsClient(listeners: Listeners, service: 'EventService' | 'WebhookService' | 'DeliveryService') {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const files = ['event', 'webhook', 'delivery'].map((name) => `homechef/webhook/v1/${name}.proto`);
  const definition = loadSync(files, {
    includeDirs: [`${root}proto`, `${root}node_modules/google-proto-files`],
    keepCase: true,
    longs: String,
  });
  const loaded = loadPackageDefinition(definition) as unknown as {
    homechef: { webhook: { v1: Record<string, ServiceClientConstructor> } };
  };
  const Constructor = loaded.homechef.webhook.v1[service];
  if (Constructor === undefined) throw new Error(`no ${service}`);
  return new Constructor(`127.0.0.1:${listeners.grpcPort}`, credentials.createInsecure());
}

export function bearer(token: string | null): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** A REST call; `json` is what came back, undefined when there was no body. */
export async function rest(
  listeners: Listeners,
  method: string,
  path: string,
  init: { token?: string | null; body?: unknown; headers?: Record<string, string> } = {},
) {
  const headers: Record<string, string> = { ...init.headers };
  if (init.token !== null) headers['authorization'] = `Bearer ${init.token ?? 'service:orders'}`;
  const isRaw = typeof init.body === 'string' || init.body instanceof Uint8Array;
  if (init.body !== undefined) headers['content-type'] ??= 'application/json';
  const body = init.body === undefined ? null : isRaw ? (init.body as string) : JSON.stringify(init.body);
  const response = await fetch(`${listeners.httpUrl}${path}`, { method, headers, body });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: text === '' ? undefined : JSON.parse(text) };
}

export const EVENT = { event_type: 'order.created', data: { order_id: 'o1' }, audience: { user_ids: ['user123'] } };
