// Custom headers. Stored values are secret and cannot be read back, so changing them means giving the whole set anew.
import type { HeaderDraft, WebhookDraft } from './webhook-draft.ts';

interface HeadersEditorProps {
  readonly draft: WebhookDraft;
  /** Names of the headers already stored. */
  readonly stored: readonly string[];
  readonly onChange: (changes: Partial<WebhookDraft>) => void;
}

export function HeadersEditor({ draft, stored, onChange }: HeadersEditorProps) {
  const { headers } = draft;
  const replaceAt = (index: number, changes: Partial<HeaderDraft>) =>
    onChange({ headers: headers.map((header, position) => (position === index ? { ...header, ...changes } : header)) });
  return (
    <fieldset class="headers-editor">
      <legend>Custom headers</legend>
      {!draft.replaceHeaders && (
        <p class="hint">
          Sent with every request: <span class="mono">{stored.join(', ')}</span>. Their values are stored encrypted and not
          shown.{' '}
          <button type="button" class="button quiet" onClick={() => onChange({ replaceHeaders: true })}>
            Replace them
          </button>
        </p>
      )}
      {draft.replaceHeaders && stored.length > 0 && headers.length === 0 && (
        <p class="hint">Saving now removes {stored.join(', ')}.</p>
      )}
      {draft.replaceHeaders &&
        headers.map((header, index) => (
          <div key={index} class="header-row">
            <input
              class="mono"
              aria-label={`Name of header ${index + 1}`}
              placeholder="X-Api-Key"
              value={header.name}
              maxLength={128}
              onInput={(event) => replaceAt(index, { name: event.currentTarget.value })}
            />
            <input
              class="mono"
              aria-label={`Value of header ${index + 1}`}
              placeholder="value"
              value={header.value}
              maxLength={4096}
              autocomplete="off"
              onInput={(event) => replaceAt(index, { value: event.currentTarget.value })}
            />
            <button
              type="button"
              class="button quiet"
              aria-label={`Remove header ${index + 1}`}
              onClick={() => onChange({ headers: headers.filter((_, position) => position !== index) })}
            >
              Remove
            </button>
          </div>
        ))}
      {draft.replaceHeaders && (
        <button type="button" class="button" onClick={() => onChange({ headers: [...headers, { name: '', value: '' }] })}>
          Add a header
        </button>
      )}
    </fieldset>
  );
}
