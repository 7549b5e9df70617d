// The form that makes or changes a webhook. The service's own answer about a field is shown beside that field.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useAction } from '../../api/action.ts';
import { seesEverybody, session } from '../../api/session.ts';
import { Field } from '../../components/field.tsx';
import { Problem } from '../../components/states.tsx';
import { Unsaved } from '../../components/unsaved.tsx';
import { ClientCertificateField } from './client-certificate-field.tsx';
import { EventPicker } from './event-picker.tsx';
import { FilterField } from './filter-field.tsx';
import { HeadersEditor } from './headers-editor.tsx';
import { MaskField } from './mask-field.tsx';
import { OAuthFields } from './oauth-fields.tsx';
import { NumberField } from './number-field.tsx';
import { UrlField } from './url-field.tsx';
import type { WebhookDraft } from './webhook-draft.ts';

interface WebhookFormProps {
  readonly initial: WebhookDraft;
  /** Null: it is being made. */
  readonly webhookId: string | null;
  /** Null: it is being made. */
  readonly storedHeaders: readonly string[] | null;
  readonly submitLabel: string;
  readonly cancelHref: string;
  readonly onSubmit: (draft: WebhookDraft) => Promise<void>;
}

/** The parts of a draft whose mistakes have a place of their own in the form. */
const SHOWN_FIELDS = [
  'url',
  'events',
  'description',
  'filter',
  'fields',
  'retry_policy.max_retries',
  'retry_policy.retry_delay',
  'retry_policy.timeout',
  'rate_limit',
  'client_certificate',
  'oauth',
];

export function WebhookForm({ initial, webhookId, storedHeaders, submitLabel, cancelHref, onSubmit }: WebhookFormProps) {
  const [initialDraft] = useState(initial);
  const [draft, setDraft] = useState(initialDraft);
  const [eventsMissing, setEventsMissing] = useState(false);
  const save = useAction(onSubmit);
  const form = useRef<HTMLFormElement>(null);
  const change = (changes: Partial<WebhookDraft>) => setDraft({ ...draft, ...changes });
  const fields = save.failure?.fields ?? new Map<string, string>();
  const elsewhere =
    save.failure !== undefined && ![...fields.keys()].some((name) => SHOWN_FIELDS.some((shown) => name.startsWith(shown)));
  const submit = (event: Event) => {
    event.preventDefault();
    setEventsMissing(draft.events.length === 0);
    if (draft.events.length > 0) void save.run(draft);
  };
  useLayoutEffect(() => {
    if (eventsMissing || fields.size > 0) focusFirstError(form.current);
  }, [eventsMissing, save.failure]);
  return (
    <form ref={form} class="form" onSubmit={submit}>
      <Unsaved isDirty={draft !== initialDraft && !save.busy} />
      <section class="panel">
        <UrlField value={draft.url} error={fields.get('url')} onInput={(url) => change({ url })} />
        <Field label="Description" optional error={fields.get('description')}>
          {(wiring) => (
            <input
              {...wiring}
              name="description"
              value={draft.description}
              maxLength={1000}
              placeholder="What is behind it, for whoever reads this next"
              onInput={(event) => change({ description: event.currentTarget.value })}
            />
          )}
        </Field>
        {storedHeaders === null && seesEverybody() && (
          <Field
            label="User"
            hint="Whose webhook it is."
            optional={session.value?.role === 'admin'}
            error={fields.get('user_id')}
          >
            {(wiring) => (
              <input
                {...wiring}
                name="user"
                value={draft.userId}
                maxLength={255}
                onInput={(event) => change({ userId: event.currentTarget.value })}
              />
            )}
          </Field>
        )}
        {storedHeaders === null && session.value?.role === 'admin' && (
          <label class="check">
            <input
              type="checkbox"
              checked={draft.platform}
              onChange={(event) => change({ platform: event.currentTarget.checked })}
            />
            <span>
              Every event of the platform <span class="hint">It gets all events of its types, whoever they concern.</span>
            </span>
          </label>
        )}
      </section>
      <section class="panel">
        <EventPicker
          chosen={draft.events}
          error={eventsMissing && draft.events.length === 0 ? 'Choose at least one event type.' : fields.get('events')}
          onChange={(events) => change({ events })}
        />
        <FilterField
          value={draft.filter}
          error={fields.get('filter')}
          webhookId={webhookId}
          onInput={(filter) => change({ filter })}
        />
        <MaskField value={draft.fields} errors={fields} onInput={(paths) => change({ fields: paths })} />
      </section>
      <details class="panel form-more" open={storedHeaders !== null}>
        <summary>Retries, limits and headers</summary>
        <div class="field-row">
          <NumberField
            label="Retries"
            unit="after the first attempt"
            min={0}
            max={20}
            step={1}
            value={draft.maxRetries}
            error={fields.get('retry_policy.max_retries')}
            onInput={(maxRetries) => change({ maxRetries })}
          />
          <NumberField
            label="First delay"
            unit="seconds, then doubling"
            min={0.1}
            max={86_400}
            step="any"
            value={draft.retryDelay}
            error={fields.get('retry_policy.retry_delay')}
            onInput={(retryDelay) => change({ retryDelay })}
          />
          <NumberField
            label="Timeout"
            unit="seconds for one attempt"
            min={1}
            max={60}
            step="any"
            value={draft.timeout}
            error={fields.get('retry_policy.timeout')}
            onInput={(timeout) => change({ timeout })}
          />
          <NumberField
            label="Rate limit"
            unit="requests a second"
            min={0}
            max={10_000}
            step={1}
            value={draft.rateLimit}
            placeholder="none"
            error={fields.get('rate_limit')}
            onInput={(rateLimit) => change({ rateLimit })}
          />
        </div>
        <label class="check">
          <input
            type="checkbox"
            checked={draft.holdsOnFailing}
            onChange={(event) => change({ holdsOnFailing: event.currentTarget.checked })}
          />
          <span>
            Pause it when it fails for too long <span class="hint">What it would get is kept. Otherwise it is disabled.</span>
          </span>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={draft.signsEd25519}
            onChange={(event) => change({ signsEd25519: event.currentTarget.checked })}
          />
          <span>
            Sign with Ed25519 too <span class="hint">A public key of the service checks it, without the secret.</span>
          </span>
        </label>
        <ClientCertificateField draft={draft} isStored={initial.clientCertificate !== ''} errors={fields} onChange={change} />
        <OAuthFields draft={draft.oauth} isStored={initial.oauth.tokenUrl !== ''} errors={fields} onChange={change} />
        <HeadersEditor draft={draft} stored={storedHeaders ?? []} onChange={change} />
      </details>
      {save.failure !== undefined && elsewhere && <Problem failure={save.failure} />}
      <div class="form-actions">
        <button class="button primary" type="submit" disabled={save.busy}>
          {save.busy ? 'Saving…' : submitLabel}
        </button>
        <a class="button" href={cancelHref}>
          Cancel
        </a>
      </div>
    </form>
  );
}

/** In the order in which they are read. A field that is folded away is unfolded. */
function focusFirstError(form: HTMLFormElement | null): void {
  const first = form?.querySelector<HTMLElement>('[aria-invalid="true"], [data-invalid="true"] input');
  const folded = first?.closest('details');
  if (folded instanceof HTMLDetailsElement) folded.open = true;
  first?.focus();
}
