// grpc.health.v1.Health: what gRPC load balancers and probes ask.
import type { ServiceImpl } from '@connectrpc/connect';
import { HealthCheckResponse_ServingStatus as Status } from '../../../gen/grpc/health/v1/health_pb.ts';
import type { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import { ServiceError } from '../../domain/errors.ts';
import { pause } from '../../lifecycle/pause.ts';
import type { HealthView } from '../../maintenance/health.ts';

/** How often a watcher's view is compared; the protocol asks for no more than "soon". */
const WATCH_INTERVAL_MS = 500;

/** Every service named in `serviceNames` is as healthy as the process: they share its stores. */
export function health(view: HealthView, serviceNames: readonly string[]): ServiceImpl<typeof Health> {
  const known = new Set(['', ...serviceNames]);
  const statusOf = (name: string): Status => {
    if (!known.has(name)) return Status.SERVICE_UNKNOWN;
    return view.report().ready ? Status.SERVING : Status.NOT_SERVING;
  };
  return {
    async check({ service }) {
      const status = statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new ServiceError('not_found', `There is no service "${service}".`);
      return { status };
    },
    async *watch({ service }, call) {
      let sent: Status | null = null;
      while (!call.signal.aborted) {
        const status = statusOf(service);
        if (status !== sent) yield { status };
        sent = status;
        await pause(WATCH_INTERVAL_MS, call.signal);
      }
    },
  };
}
