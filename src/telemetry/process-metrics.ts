// How the process itself is doing: event loop, memory, processor time, open files.
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Meter } from '@opentelemetry/api';

/** A timer each 20 ms costs nothing measurable and sees every stall that a caller could notice. */
const LOOP_RESOLUTION_MS = 20;
/** ms. The lag is measured over a window of at least so long, shorter than Prometheus usually waits between two scrapes. */
const LAG_WINDOW_MS = 10_000;

export interface ProcessObserver {
  /** Begins to watch the event loop. Until then a process loads and compiles code, which holds the loop for up to a second and delays no caller. */
  watchLoop(): void;
  stop(): void;
}

export function observeProcess(meter: Meter): ProcessObserver {
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  let windowStartedAt = 0;
  meter
    .createObservableGauge('event_loop_lag_seconds', {
      description: 'Delay of the event loop in the last ten seconds or more, by percentile.',
    })
    .addCallback((result) => {
      for (const [percentile, seconds] of lagPercentiles(loop)) result.observe(seconds, { percentile });
      // Not at every scrape: two scrapers would leave each other nothing to see.
      if (performance.now() - windowStartedAt < LAG_WINDOW_MS) return;
      windowStartedAt = performance.now();
      loop.reset();
    });
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
  gauge('process_heap_bytes', 'Used heap.', () => process.memoryUsage().heapUsed);
  gauge('process_open_fds', 'Open file descriptors.', openFiles);
  gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.', () => startedAtSeconds);
  meter.createObservableCounter('process_cpu_seconds_total', { description: 'Processor time used.' }).addCallback((result) => {
    const { user, system } = process.cpuUsage();
    result.observe((user + system) / 1e6);
  });
  return {
    watchLoop() {
      windowStartedAt = performance.now();
      loop.enable();
    },
    stop: () => void loop.disable(),
  };

  function gauge(name: string, description: string, read: () => number | undefined): void {
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      const value = read();
      if (value !== undefined) result.observe(value);
    });
  }
}

const startedAtSeconds = Math.round(Date.now() / 1000 - process.uptime());

// The histogram measures whole intervals of the timer: what exceeds its resolution is the lag.
function lagPercentiles(loop: ReturnType<typeof monitorEventLoopDelay>): [string, number][] {
  if (loop.count === 0) return [];
  const lag = (ns: number): number => Math.max(0, ns / 1e9 - LOOP_RESOLUTION_MS / 1000);
  return [
    ['50', lag(loop.percentile(50))],
    ['99', lag(loop.percentile(99))],
    ['100', lag(loop.max)],
  ];
}

// Only Linux lists them; elsewhere the series is absent.
function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return undefined;
  }
}
