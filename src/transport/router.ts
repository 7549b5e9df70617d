// Which code answers which RPC. Every door (gRPC, gRPC-Web, Connect, REST) serves exactly this list.
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection, ServerReflectionResponseSchema } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionResponseSchema as ServerReflectionResponseSchemaAlpha,
} from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ServiceContext } from '../service/context.ts';
import type { HealthView } from '../maintenance/health.ts';
import { health } from './rpc/health.ts';
import { cancelRotation } from './rpc/cancel-rotation.ts';
import { completeRotation } from './rpc/complete-rotation.ts';
import { createWebhook } from './rpc/create-webhook.ts';
import { deleteWebhook } from './rpc/delete-webhook.ts';
import { getDelivery } from './rpc/get-delivery.ts';
import { getOverview } from './rpc/get-overview.ts';
import { getSecret } from './rpc/get-secret.ts';
import { getWebhook } from './rpc/get-webhook.ts';
import { getWebhookStats } from './rpc/get-webhook-stats.ts';
import { listDeliveries } from './rpc/list-deliveries.ts';
import { listEventTypes } from './rpc/list-event-types.ts';
import { listWebhooks } from './rpc/list-webhooks.ts';
import { retryDelivery } from './rpc/retry-delivery.ts';
import { rotateSecret } from './rpc/rotate-secret.ts';
import { testWebhook } from './rpc/test-webhook.ts';
import { updateWebhook } from './rpc/update-webhook.ts';
import { publishEvent } from './rpc/publish-event.ts';
import { publishEvents } from './rpc/publish-events.ts';
import { publishStream } from './rpc/publish-stream.ts';
import { ReflectionIndex, serverReflection } from './rpc/server-reflection.ts';
import { watchDeliveries } from './rpc/watch-deliveries.ts';

export interface ServiceEntry {
  readonly service: DescService;
  readonly implementation: Readonly<Record<string, unknown>>;
}

/** Ties an implementation to its descriptor; the compiler refuses one that lacks an RPC. */
export function serve<Service extends DescService>(service: Service, implementation: ServiceImpl<Service>): ServiceEntry {
  return { service, implementation: { ...implementation } };
}

export function services(context: ServiceContext, healthView: HealthView): ServiceEntry[] {
  const entries = [
    serve(WebhookService, {
      listWebhooks: listWebhooks(context),
      createWebhook: createWebhook(context),
      getWebhook: getWebhook(context),
      updateWebhook: updateWebhook(context),
      deleteWebhook: deleteWebhook(context),
      testWebhook: testWebhook(context),
      rotateSecret: rotateSecret(context),
      completeRotation: completeRotation(context),
      cancelRotation: cancelRotation(context),
      getSecret: getSecret(context),
      getWebhookStats: getWebhookStats(context),
      getOverview: getOverview(context),
      listEventTypes: listEventTypes(),
    }),
    serve(DeliveryService, {
      listDeliveries: listDeliveries(context),
      getDelivery: getDelivery(context),
      retryDelivery: retryDelivery(context),
      watchDeliveries: watchDeliveries(context),
    }),
    serve(EventService, {
      publishEvent: publishEvent(context),
      publishEvents: publishEvents(context),
      publishStream: publishStream(context),
    }),
  ];
  const names = entries.map(({ service }) => service.typeName);
  const all = [...entries, serve(Health, health(healthView, names))];
  if (!context.config.reflection) return all;
  const index = new ReflectionIndex([...all.map(({ service }) => service), ServerReflection, ServerReflectionAlpha]);
  return [
    ...all,
    serve(ServerReflection, serverReflection(index, ServerReflectionResponseSchema)),
    serve(ServerReflectionAlpha, serverReflection(index, ServerReflectionResponseSchemaAlpha)),
  ];
}
