// The signing secret, right after it was made or asked for.
import { CopyButton } from '../../components/copy-button.tsx';
import { dropSecret, freshSecret } from './fresh-secret.ts';

export function SecretPanel({ webhookId }: { webhookId: string }) {
  const fresh = freshSecret.value;
  if (fresh === null || fresh.webhookId !== webhookId) return null;
  return (
    <section class="panel secret-panel" aria-labelledby="secret-heading">
      <h2 id="secret-heading">{fresh.from === 'rotated' ? 'Your new signing secret' : 'Your signing secret'}</h2>
      <p>
        Store it where your receiver reads its settings. Whoever owns this webhook can show it again.
        {fresh.from === 'rotated' && ' Receivers with the earlier secret go on as they are until the change is finished.'}
      </p>
      <div class="secret-line">
        <code class="secret" data-testid="secret">
          {fresh.secret}
        </code>
        <CopyButton text={fresh.secret} label="Copy secret" primary />
      </div>
      <div class="button-row">
        <button type="button" class="button" onClick={dropSecret}>
          I have stored it
        </button>
        <a href="/verify">How to verify signatures</a>
      </div>
    </section>
  );
}
