// Why nothing gets through to a receiver: the way there, looked at step by step.
import type { DescEnum } from '@bufbuild/protobuf';
import { useState } from 'preact/hooks';
import {
  type Diagnosis,
  DiagnosisResult,
  DiagnosisResultSchema,
  DiagnosisStepNameSchema,
} from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { Problem } from '../../components/states.tsx';
import { duration } from '../../format/time.ts';

const TONES: Record<DiagnosisResult, string> = {
  [DiagnosisResult.UNSPECIFIED]: '',
  [DiagnosisResult.OK]: 'tone-delivered',
  [DiagnosisResult.WARNING]: 'tone-retrying',
  [DiagnosisResult.FAILED]: 'tone-failed',
};

const STEPS: Record<string, string> = {
  URL: 'URL',
  RESOLVE: 'Name',
  CONNECT: 'Connection',
  TLS: 'TLS',
  TOKEN: 'Access token',
  PING: 'Ping',
  CLOCK: 'Clock',
};

const VERDICTS: Record<DiagnosisResult, string> = {
  [DiagnosisResult.UNSPECIFIED]: '',
  [DiagnosisResult.OK]: 'Nothing is wrong.',
  [DiagnosisResult.WARNING]: 'Deliveries get through; something should be looked at.',
  [DiagnosisResult.FAILED]: 'Deliveries do not get through.',
};

export function DiagnosisPanel({ webhookId }: { webhookId: string }) {
  const [diagnosis, setDiagnosis] = useState<Diagnosis | null>(null);
  const diagnose = useAction(async () => {
    setDiagnosis(null);
    setDiagnosis(await webhooks.diagnoseWebhook({ webhookId }));
  });
  return (
    <section class="panel" aria-labelledby="diagnosis">
      <div class="panel-head">
        <h2 id="diagnosis">Diagnosis</h2>
      </div>
      <div class="test-line">
        <button type="button" class="button" disabled={diagnose.busy} onClick={() => void diagnose.run()}>
          {diagnose.busy ? 'Looking…' : 'Look at the way to the receiver'}
        </button>
        <p class="hint">Its name, addresses, TLS and clock, and one signed ping. Nothing is recorded. Six a minute.</p>
      </div>
      <div role="status">{diagnosis !== null && <Steps diagnosis={diagnosis} />}</div>
      {diagnose.failure !== undefined && <Problem failure={diagnose.failure} />}
    </section>
  );
}

function Steps({ diagnosis: { verdict, steps } }: { diagnosis: Diagnosis }) {
  return (
    <div data-testid="diagnosis">
      <p>
        <b>{VERDICTS[verdict]}</b>
      </p>
      <ol class="diagnosis">
        {steps.map(({ step, result, message, advice, durationMs }) => (
          <li key={step}>
            <b>{STEPS[nameOf(DiagnosisStepNameSchema, step)]}</b>
            <span class={`status ${TONES[result]}`}>{nameOf(DiagnosisResultSchema, result).toLowerCase()}</span>
            <span>
              {message} {advice}
            </span>
            <span>{durationMs > 0 ? duration(durationMs) : ''}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function nameOf(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? '';
}
