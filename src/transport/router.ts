// Which code answers which RPC. Every door (gRPC, gRPC-Web, Connect, REST) serves exactly this list.
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import type { ServiceContext } from '../service/context.ts';
import { publishEvent } from './rpc/publish-event.ts';

export interface ServiceEntry {
  readonly service: DescService;
  readonly implementation: Readonly<Record<string, unknown>>;
}

/** Ties an implementation to its descriptor; the compiler refuses one that lacks an RPC. */
export function serve<Service extends DescService>(service: Service, implementation: ServiceImpl<Service>): ServiceEntry {
  return { service, implementation };
}

export function services(context: ServiceContext): ServiceEntry[] {
  return [{ service: EventService, implementation: { publishEvent: publishEvent(context) } }];
}
