// The client certificate of a webhook and its key, which is written and never read back.
import { Field } from '../../components/field.tsx';
import type { WebhookDraft } from './webhook-draft.ts';

interface ClientCertificateFieldProps {
  readonly draft: Pick<WebhookDraft, 'clientCertificate' | 'clientKey'>;
  /** Whether one is stored already, with its key. */
  readonly isStored: boolean;
  readonly errors: ReadonlyMap<string, string>;
  readonly onChange: (changes: Partial<WebhookDraft>) => void;
}

export function ClientCertificateField({ draft, isStored, errors, onChange }: ClientCertificateFieldProps) {
  return (
    <>
      <Field
        label="Client certificate"
        optional
        error={errors.get('client_certificate.certificate') ?? errors.get('client_certificate')}
        hint="For a receiver with mutual TLS. PEM, with the chain behind it."
      >
        {(wiring) => (
          <textarea
            {...wiring}
            class="mono"
            name="client-certificate"
            rows={3}
            value={draft.clientCertificate}
            spellcheck={false}
            placeholder="-----BEGIN CERTIFICATE-----"
            onInput={(event) => onChange({ clientCertificate: event.currentTarget.value })}
          />
        )}
      </Field>
      {draft.clientCertificate.trim() !== '' && (
        <Field
          label="Key of the certificate"
          optional={isStored}
          error={errors.get('client_certificate.key')}
          hint={
            isStored
              ? 'Empty keeps the stored one, beside the stored certificate.'
              : 'PEM, without a passphrase. It is not shown again.'
          }
        >
          {(wiring) => (
            <textarea
              {...wiring}
              class="mono"
              name="client-key"
              rows={3}
              value={draft.clientKey}
              spellcheck={false}
              autocomplete="off"
              placeholder="-----BEGIN PRIVATE KEY-----"
              onInput={(event) => onChange({ clientKey: event.currentTarget.value })}
            />
          )}
        </Field>
      )}
    </>
  );
}
