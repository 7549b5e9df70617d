// What probes are told. Whoever implements it answers from memory: a probe must get its answer while every store hangs.

export type CheckState = 'ok' | 'degraded' | 'read_only' | 'down';

export interface HealthReport {
  /** Whether this process wants traffic; false while it starts, stops, or lacks what it cannot work without. */
  readonly ready: boolean;
  /** By name, as in `{ database: 'ok', redis: 'degraded' }`. */
  readonly checks: Readonly<Record<string, CheckState>>;
}

export interface HealthView {
  /** Whether the process is worth keeping: false asks the orchestrator to restart it. */
  live(): boolean;
  report(): HealthReport;
  /** The state of the services this one reports beside its own; for operators, not for probes. */
  dependencies(): Readonly<Record<string, CheckState>>;
}
