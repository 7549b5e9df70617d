// Figures that several faults are judged by.
import type { ServiceProcess } from '../fixtures/process.ts';
import type { PublishRecord, World } from './world.ts';

/** The value below which `share` of all values lie; 0 when there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export function p99OfPublishing(records: readonly PublishRecord[]): number {
  return quantile(
    records.map((record) => record.durationMs),
    0.99,
  );
}

/** How many publishes got which answer, as in `202 ×500`. */
export function statuses(records: readonly PublishRecord[]): string {
  return [...Map.groupBy(records, (record) => record.status)].map(([status, list]) => `${status} ×${list.length}`).join(', ');
}

/** Milliseconds from the start of a publish to the first request for it at `path`; of those that arrived. */
export function latencies(world: World, path: string, records: readonly PublishRecord[]): number[] {
  const startedAtMs = new Map(records.map((record) => [record.key, record.startedAtMs]));
  const found = new Map<string, number>();
  for (const arrival of world.sink.arrivals) {
    if (arrival.path !== path) continue;
    const key = (JSON.parse(arrival.body) as { data: { order_id: string } }).data.order_id;
    const startedAt = startedAtMs.get(key);
    if (startedAt !== undefined && !found.has(key)) found.set(key, arrival.atMs - startedAt);
  }
  return [...found.values()];
}

export interface Peaks {
  /** Largest resident memory of any process while watched, in MiB. */
  rssMb: number;
  /** Largest 99th percentile of the event loop's delay between two looks, in milliseconds. */
  lagMs: number;
}

/** Looks at the metrics of the processes each second until `stop` is called. */
export function watchProcesses(services: () => readonly ServiceProcess[]): { stop(): Promise<Peaks> } {
  const peaks: Peaks = { rssMb: 0, lagMs: 0 };
  let isStopped = false;
  const loop = (async () => {
    while (!isStopped) {
      await Promise.all(
        services().map(async (service) => {
          const text = await fetch(service.metrics)
            .then((answer) => answer.text())
            .catch(() => '');
          const rss = Number(/^process_resident_memory_bytes(?:\{[^}]*\})? ([0-9.e+]+)/m.exec(text)?.[1] ?? 0);
          const lag = Number(/^event_loop_lag_seconds\{[^}]*percentile="99"[^}]*\} ([0-9.e+-]+)/m.exec(text)?.[1] ?? 0);
          peaks.rssMb = Math.max(peaks.rssMb, rss / 1024 / 1024);
          peaks.lagMs = Math.max(peaks.lagMs, lag * 1000);
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  })();
  return {
    async stop() {
      isStopped = true;
      await loop;
      return peaks;
    },
  };
}
