// What a look at the way to a receiver found, step by step.
import { DAY_MS } from './time-units.ts';

/** In the order in which they are taken. */
export const diagnosisSteps = ['url', 'resolve', 'connect', 'tls', 'token', 'ping', 'clock'] as const;
export type DiagnosisStep = (typeof diagnosisSteps)[number];

export const stepResults = ['ok', 'warning', 'failed'] as const;
/** `warning`: deliveries get through, and something should be looked at. `failed`: they do not. */
export type StepResult = (typeof stepResults)[number];

export interface DiagnosedStep {
  readonly step: DiagnosisStep;
  readonly result: StepResult;
  /** What was found. */
  readonly message: string;
  /** What to do; empty where there is nothing to do. */
  readonly advice: string;
  readonly durationMs: number;
}

export interface Diagnosis {
  /** The worst result of a step. */
  readonly verdict: StepResult;
  /** Those that were taken. What comes after a step that bars the way is left out. */
  readonly steps: readonly DiagnosedStep[];
}

/** A certificate that ends sooner than this, in milliseconds, is worth a warning: authorities renew theirs about a month before. */
export const CERTIFICATE_WARNING_MS = 14 * DAY_MS;

export function diagnosisOf(steps: readonly DiagnosedStep[]): Diagnosis {
  const worst = Math.max(0, ...steps.map(({ result }) => stepResults.indexOf(result)));
  return { verdict: stepResults[worst] ?? 'ok', steps };
}
