// Which code answers which RPC. Every protocol (gRPC, gRPC-Web, Connect, REST) serves exactly this list.
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection, ServerReflectionResponseSchema } from '../../../gen/grpc/reflection/v1/reflection_pb.ts';
import {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionResponseSchema as ServerReflectionResponseSchemaAlpha,
} from '../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { ReplayService } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ServiceContext } from '../../service/context.ts';
import type { HealthView } from '../../maintenance/health.ts';
import { serve, type ServiceEntry } from '../call/service-entry.ts';
import { health } from './health.ts';
import { cancelReplay, pauseReplay, resumeReplay } from './change-replay.ts';
import { cancelDelivery } from './cancel-delivery.ts';
import { cancelRotation } from './cancel-rotation.ts';
import { completeRotation } from './complete-rotation.ts';
import { createEventType } from './create-event-type.ts';
import { createReplay } from './create-replay.ts';
import { createReplays } from './create-replays.ts';
import { createWebhook } from './create-webhook.ts';
import { deleteWebhook } from './delete-webhook.ts';
import { diagnoseUrl } from './diagnose-url.ts';
import { diagnoseWebhook } from './diagnose-webhook.ts';
import { explainDelivery } from './explain-delivery.ts';
import { explainEvent } from './explain-event.ts';
import { getDelivery } from './get-delivery.ts';
import { getEvent } from './get-event.ts';
import { getEventType } from './get-event-type.ts';
import { getOverview } from './get-overview.ts';
import { getReplay } from './get-replay.ts';
import { getSecret } from './get-secret.ts';
import { getWebhook } from './get-webhook.ts';
import { getWebhookHistory } from './get-webhook-history.ts';
import { getWebhookStats } from './get-webhook-stats.ts';
import { listDeliveries } from './list-deliveries.ts';
import { listEvents } from './list-events.ts';
import { listEventTypes } from './list-event-types.ts';
import { listServiceKeys } from './list-service-keys.ts';
import { listReplays } from './list-replays.ts';
import { listWebhooks } from './list-webhooks.ts';
import { resumeWebhook } from './resume-webhook.ts';
import { retryDelivery } from './retry-delivery.ts';
import { rotateSecret } from './rotate-secret.ts';
import { rotateServiceKey } from './rotate-service-key.ts';
import { testFilter } from './test-filter.ts';
import { testWebhook } from './test-webhook.ts';
import { updateEventType } from './update-event-type.ts';
import { updateWebhook } from './update-webhook.ts';
import { pauseWebhook } from './pause-webhook.ts';
import { publishEvent } from './publish-event.ts';
import { publishEvents } from './publish-events.ts';
import { publishStream } from './publish-stream.ts';
import { ReflectionIndex, serverReflection } from './server-reflection.ts';
import { watchDeliveries } from './watch-deliveries.ts';
import { watchEvents } from './watch-events.ts';

export function services(context: ServiceContext, healthView: HealthView): ServiceEntry[] {
  const entries = [
    serve(WebhookService, {
      listWebhooks: listWebhooks(context),
      createWebhook: createWebhook(context),
      getWebhook: getWebhook(context),
      updateWebhook: updateWebhook(context),
      deleteWebhook: deleteWebhook(context),
      testWebhook: testWebhook(context),
      testFilter: testFilter(context),
      diagnoseWebhook: diagnoseWebhook(context),
      diagnoseUrl: diagnoseUrl(context),
      rotateSecret: rotateSecret(context),
      completeRotation: completeRotation(context),
      cancelRotation: cancelRotation(context),
      pauseWebhook: pauseWebhook(context),
      resumeWebhook: resumeWebhook(context),
      getSecret: getSecret(context),
      getWebhookHistory: getWebhookHistory(context),
      getWebhookStats: getWebhookStats(context),
      getOverview: getOverview(context),
      listServiceKeys: listServiceKeys(context),
      rotateServiceKey: rotateServiceKey(context),
      listEventTypes: listEventTypes(context),
      createEventType: createEventType(context),
      getEventType: getEventType(context),
      updateEventType: updateEventType(context),
    }),
    serve(DeliveryService, {
      listDeliveries: listDeliveries(context),
      getDelivery: getDelivery(context),
      explainDelivery: explainDelivery(context),
      retryDelivery: retryDelivery(context),
      cancelDelivery: cancelDelivery(context),
      watchDeliveries: watchDeliveries(context),
      watchEvents: watchEvents(context),
    }),
    serve(ReplayService, {
      createReplay: createReplay(context),
      createReplays: createReplays(context),
      listReplays: listReplays(context),
      getReplay: getReplay(context),
      pauseReplay: pauseReplay(context),
      resumeReplay: resumeReplay(context),
      cancelReplay: cancelReplay(context),
    }),
    serve(EventService, {
      publishEvent: publishEvent(context),
      publishEvents: publishEvents(context),
      listEvents: listEvents(context),
      getEvent: getEvent(context),
      publishStream: publishStream(context),
      explainEvent: explainEvent(context),
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
