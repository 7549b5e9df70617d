// The filter of a webhook, with a payload beside it to try it on.
import { useState } from 'preact/hooks';
import type { TestFilterResponse } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { Field } from '../../components/field.tsx';
import { Problem } from '../../components/states.tsx';

interface FilterFieldProps {
  readonly value: string;
  readonly error: string | undefined;
  /** Null: it is being made, and there is nothing to ask yet. */
  readonly webhookId: string | null;
  readonly onInput: (value: string) => void;
}

export function FilterField({ value, error, webhookId, onInput }: FilterFieldProps) {
  return (
    <div class="filter-field">
      <Field
        label="Filter"
        optional
        error={error}
        hint="Only events whose payload meets this condition, an SQL/JSON path. $ is the payload."
      >
        {(wiring) => (
          <textarea
            {...wiring}
            class="mono"
            name="filter"
            rows={3}
            value={value}
            maxLength={1000}
            spellcheck={false}
            placeholder={'$.total_amount > 50 && $.city == "Berlin"'}
            onInput={(event) => onInput(event.currentTarget.value)}
          />
        )}
      </Field>
      {webhookId !== null && <FilterTester webhookId={webhookId} filter={value.trim()} />}
    </div>
  );
}

function FilterTester({ webhookId, filter }: { webhookId: string; filter: string }) {
  const [payload, setPayload] = useState('');
  const [result, setResult] = useState<TestFilterResponse | null>(null);
  const tester = useAction(async () => {
    setResult(null);
    setResult(await webhooks.testFilter({ webhookId, filter, ...questionOf(payload.trim()) }));
  });
  return (
    <div class="filter-tester">
      <Field label="Try it on" hint="A payload, or the id of an event." error={undefined}>
        {(wiring) => (
          <textarea
            {...wiring}
            class="mono"
            rows={3}
            value={payload}
            spellcheck={false}
            placeholder={'{ "total_amount": 51, "city": "Berlin" }'}
            onInput={(event) => setPayload(event.currentTarget.value)}
          />
        )}
      </Field>
      <button type="button" class="button" disabled={tester.busy || payload.trim() === ''} onClick={() => void tester.run()}>
        {tester.busy ? 'Trying…' : 'Try'}
      </button>
      <p role="status" data-testid="filter-result">
        {result !== null && (
          <>
            <b>{result.match ? 'Match' : 'No match'}</b> {result.error}
          </>
        )}
      </p>
      {tester.failure !== undefined && <Problem failure={tester.failure} />}
    </div>
  );
}

function questionOf(typed: string) {
  if (typed.startsWith('event_')) return { payload: { case: 'eventId', value: typed } } as const;
  return { payload: { case: 'dataJson', value: new TextEncoder().encode(typed) } } as const;
}
