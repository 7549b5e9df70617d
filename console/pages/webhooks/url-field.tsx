// The URL of a webhook, judged as it is typed.
import { Field } from '../../components/field.tsx';
import { isDevelopment } from '../../environment.ts';
import { checkUrl } from './url-check.ts';

export function UrlField({
  value,
  error,
  onInput,
}: {
  value: string;
  error: string | undefined;
  onInput: (value: string) => void;
}) {
  const opinion = checkUrl(value, { development: isDevelopment });
  return (
    <Field label="URL" error={error} hint={<span class={`opinion ${opinion.kind}`}>{opinion.message}</span>}>
      {(wiring) => (
        <input
          {...wiring}
          class="mono"
          type="url"
          name="url"
          value={value}
          required
          maxLength={2048}
          spellcheck={false}
          autocomplete="off"
          placeholder="https://example.com/webhooks/homechef"
          onInput={(event) => onInput(event.currentTarget.value.trim())}
        />
      )}
    </Field>
  );
}
