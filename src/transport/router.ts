// Which code answers which RPC. Every door (gRPC, gRPC-Web, Connect, REST) serves exactly this list.
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import type { ServiceContext } from '../service/context.ts';
import type { HealthView } from './health-view.ts';
import { health } from './rpc/health.ts';
import { publishEvent } from './rpc/publish-event.ts';
import { publishEvents } from './rpc/publish-events.ts';
import { publishStream } from './rpc/publish-stream.ts';

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
    serve(EventService, {
      publishEvent: publishEvent(context),
      publishEvents: publishEvents(context),
      publishStream: publishStream(context),
    }),
  ];
  return [
    ...entries,
    serve(
      Health,
      health(
        healthView,
        entries.map(({ service }) => service.typeName),
      ),
    ),
  ];
}
