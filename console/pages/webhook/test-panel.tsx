// Sending a test event and seeing at once what the receiver answered.
import { useState } from 'preact/hooks';
import type { TestWebhookResponse, Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { eventTypes } from '../../api/event-types.ts';
import { useResource } from '../../api/resource.ts';
import { namesOf } from '../../format/event-pattern.ts';
import { webhooks } from '../../api/client.ts';
import { Problem } from '../../components/states.tsx';
import { StatusGlyph } from '../../components/status-mark.tsx';
import { causeOf } from '../../format/cause.ts';
import { statuses } from '../../format/status.ts';
import { duration } from '../../format/time.ts';

export function TestPanel({ webhook, onTested }: { webhook: Webhook; onTested: () => void }) {
  const catalogue = useResource('event-types', eventTypes);
  const names = namesOf(webhook.events, catalogue.data ?? []);
  const [chosen, setChosen] = useState('');
  const eventType = chosen === '' ? (names[0] ?? '') : chosen;
  const [result, setResult] = useState<TestWebhookResponse | null>(null);
  const test = useAction(async () => {
    setResult(null);
    setResult(await webhooks.testWebhook({ webhookId: webhook.id, eventType }));
    onTested();
  });
  return (
    <section class="panel" aria-labelledby="test">
      <div class="panel-head">
        <h2 id="test">Send a test</h2>
      </div>
      <div class="test-line">
        <label class="filter">
          <span>Sample event</span>
          <select value={eventType} onChange={(event) => setChosen(event.currentTarget.value)}>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <button type="button" class="button primary" disabled={test.busy || eventType === ''} onClick={() => void test.run()}>
          {test.busy ? 'Sending…' : 'Send test'}
        </button>
        <p class="hint">One signed request, now. Logged as a delivery, never retried.</p>
      </div>
      <div role="status">{result !== null && <TestResult result={result} />}</div>
      {test.failure !== undefined && <Problem failure={test.failure} />}
    </section>
  );
}

function TestResult({ result }: { result: TestWebhookResponse }) {
  const { attempt, success, deliveryId } = result;
  const look = statuses.find(({ key }) => key === (success ? 'delivered' : 'failed'));
  return (
    <div class={`test-result ${success ? 'good' : 'bad'}`} data-testid="test-result">
      <p class="test-outcome">
        {look !== undefined && <StatusGlyph look={look} />}
        <b>{success ? `Answered ${attempt?.httpStatus ?? ''}` : causeOf(attempt ?? {}).label}</b>
        {attempt !== undefined && <span>in {duration(attempt.durationMs)}</span>}
        <a href={`/deliveries/${deliveryId}`}>See the delivery</a>
      </p>
      {!success && <p>{causeOf(attempt ?? {}).advice || attempt?.errorMessage}</p>}
      {attempt?.response !== undefined && attempt.response !== '' && (
        <pre tabIndex={0} aria-label="What the receiver answered">
          <code>{attempt.response}</code>
        </pre>
      )}
    </div>
  );
}
