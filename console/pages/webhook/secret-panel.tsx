// The signing secret, the one time it can be seen.
import { CopyButton } from '../../components/copy-button.tsx';
import { dropSecret, freshSecret } from './fresh-secret.ts';

export function SecretPanel({ webhookId }: { webhookId: string }) {
  const fresh = freshSecret.value;
  if (fresh === null || fresh.webhookId !== webhookId) return null;
  return (
    <section class="panel secret-panel" aria-labelledby="secret-heading">
      <h2 id="secret-heading">{fresh.from === 'created' ? 'Your signing secret' : 'Your new signing secret'}</h2>
      <p>
        Store it where your receiver reads its settings. It is shown <b>this once</b>; later you can only rotate it.
        {fresh.from === 'rotated' && ' The earlier secret goes on signing beside it for 24 hours.'}
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
