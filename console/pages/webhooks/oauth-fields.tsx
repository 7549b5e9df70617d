// The client of a webhook at the token server of its receiver. Its secret is written and never read back.
import { Field } from '../../components/field.tsx';
import type { OAuthDraft, WebhookDraft } from './webhook-draft.ts';

interface OAuthFieldsProps {
  readonly draft: OAuthDraft;
  /** Whether one is stored already, with its secret. */
  readonly isStored: boolean;
  readonly errors: ReadonlyMap<string, string>;
  readonly onChange: (changes: Partial<WebhookDraft>) => void;
}

export function OAuthFields({ draft, isStored, errors, onChange }: OAuthFieldsProps) {
  const input = (name: keyof OAuthDraft, field: string, label: string, hint: string, optional: boolean) => (
    <Field label={label} optional={optional} error={errors.get(`oauth.${field}`)} hint={hint}>
      {(wiring) => {
        const shared = {
          ...wiring,
          class: 'mono',
          name: `oauth-${field}`,
          value: draft[name],
          spellcheck: false,
          onInput: (event: { readonly currentTarget: HTMLInputElement }) =>
            onChange({ oauth: { ...draft, [name]: event.currentTarget.value } }),
        };
        if (name === 'clientSecret') return <input {...shared} type="password" autocomplete="new-password" />;
        return <input {...shared} type="text" autocomplete="off" />;
      }}
    </Field>
  );
  return (
    <>
      {input(
        'tokenUrl',
        'token_url',
        'Token URL',
        'For a receiver that asks for an OAuth access token: where the service gets it.',
        true,
      )}
      {draft.tokenUrl.trim() !== '' && (
        <>
          {input('clientId', 'client_id', 'Client id', 'As the token server knows the service.', false)}
          {input(
            'clientSecret',
            'client_secret',
            'Client secret',
            isStored ? 'Empty keeps the stored one, for the stored client and token URL.' : 'It is not shown again.',
            isStored,
          )}
          {input('scope', 'scope', 'Scopes', 'With spaces between them.', true)}
          {input('audience', 'audience', 'Audience', 'Where the token server asks for it.', true)}
        </>
      )}
    </>
  );
}
