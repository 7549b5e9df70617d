// How a diagnosis looks on the wire.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { DiagnosisResult, type DiagnosisSchema, DiagnosisStepName } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { Diagnosis, DiagnosisStep, StepResult } from '../../domain/diagnosis.ts';

const RESULTS: Record<StepResult, DiagnosisResult> = {
  ok: DiagnosisResult.OK,
  warning: DiagnosisResult.WARNING,
  failed: DiagnosisResult.FAILED,
};

const STEPS: Record<DiagnosisStep, DiagnosisStepName> = {
  url: DiagnosisStepName.URL,
  resolve: DiagnosisStepName.RESOLVE,
  connect: DiagnosisStepName.CONNECT,
  tls: DiagnosisStepName.TLS,
  token: DiagnosisStepName.TOKEN,
  ping: DiagnosisStepName.PING,
  clock: DiagnosisStepName.CLOCK,
};

export function diagnosisMessage({ verdict, steps }: Diagnosis): MessageInitShape<typeof DiagnosisSchema> {
  return {
    verdict: RESULTS[verdict],
    steps: steps.map(({ step, result, message, advice, durationMs }) => ({
      step: STEPS[step],
      result: RESULTS[result],
      message,
      advice,
      durationMs,
    })),
  };
}
