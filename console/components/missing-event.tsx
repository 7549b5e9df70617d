// "Why did this event not arrive?": asked of one webhook about one event, which need not have a delivery there.
import { useState } from 'preact/hooks';
import type { Explanation } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { useAction } from '../api/action.ts';
import { deliveries } from '../api/client.ts';
import { ExplanationView } from './explanation.tsx';
import { Field } from './field.tsx';
import { Problem } from './states.tsx';

/** Either may be known already, and is then not asked for. */
export function MissingEvent({ webhookId, eventId }: { webhookId?: string; eventId?: string }) {
  const [event, setEvent] = useState(eventId ?? '');
  const [webhook, setWebhook] = useState(webhookId ?? '');
  const [explanation, setExplanation] = useState<Explanation | null>(null);
  const explain = useAction(async () => {
    setExplanation(null);
    setExplanation(await deliveries.explainDelivery({ webhookId: webhook.trim(), eventId: event.trim() }));
  });
  const submit = (submitted: Event) => {
    submitted.preventDefault();
    void explain.run();
  };
  const fields = explain.failure?.fields;
  return (
    <section class="panel missing-event" aria-labelledby="missing-event">
      <div class="panel-head">
        <h2 id="missing-event">Why did an event not arrive?</h2>
      </div>
      <form class="test-line" onSubmit={submit}>
        {eventId === undefined && (
          <IdField label="Event" kind="event" value={event} error={fields?.get('event_id')} onInput={setEvent} />
        )}
        {webhookId === undefined && (
          <IdField label="Webhook" kind="webhook" value={webhook} error={fields?.get('webhook_id')} onInput={setWebhook} />
        )}
        <button type="submit" class="button" disabled={explain.busy}>
          {explain.busy ? 'Looking…' : 'Explain'}
        </button>
      </form>
      <div role="status">{explanation !== null && <ExplanationView explanation={explanation} />}</div>
      {explain.failure !== undefined && explain.failure.fields.size === 0 && <Problem failure={explain.failure} />}
    </section>
  );
}

interface IdFieldProps {
  readonly label: string;
  readonly kind: string;
  readonly value: string;
  readonly error: string | undefined;
  readonly onInput: (value: string) => void;
}

function IdField({ label, kind, value, error, onInput }: IdFieldProps) {
  return (
    <Field label={label} error={error}>
      {(wiring) => (
        <input
          {...wiring}
          class="mono"
          value={value}
          required
          maxLength={100}
          spellcheck={false}
          autocomplete="off"
          placeholder={`${kind}_…`}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
