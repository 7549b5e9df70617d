// How a webhook is set up.
import { OnFailing, Signature, type Webhook, WebhookScope } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { session } from '../../api/session.ts';
import { CopyButton } from '../../components/copy-button.tsx';
import { Moment } from '../../components/moment.tsx';
import { Problem } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';
import { span } from '../../format/time.ts';
import { showSecret } from './fresh-secret.ts';

export function WebhookSettings({ webhook }: { webhook: Webhook }) {
  const policy = webhook.retryPolicy;
  const show = useAction(async () => {
    showSecret(webhook.id, (await webhooks.getSecret({ webhookId: webhook.id })).secret);
    scrollTo(0, 0);
  });
  const headers = Object.keys(webhook.customHeaders);
  return (
    <section class="panel" aria-labelledby="settings">
      <div class="panel-head">
        <h2 id="settings">Set-up</h2>
      </div>
      <dl class="facts">
        <dt>URL</dt>
        <dd class="mono wrap">{webhook.url}</dd>
        <dt>Id</dt>
        <dd class="with-button">
          <code class="wrap">{webhook.id}</code>
          <CopyButton text={webhook.id} />
        </dd>
        <dt>Events</dt>
        <dd>
          <span class="event-names">
            {webhook.events.map((name) => (
              <span key={name} class="event-name">
                {name}
              </span>
            ))}
          </span>
          {webhook.scope === WebhookScope.PLATFORM && <p class="hint">Of everybody on the platform.</p>}
        </dd>
        <dt>Filter</dt>
        <dd>{webhook.filter === '' ? 'none' : <code class="wrap">{webhook.filter}</code>}</dd>
        <dt>Retries</dt>
        <dd>
          {plural(policy?.maxRetries ?? 0, 'retry', 'retries')}, the first after {span((policy?.retryDelay ?? 0) * 1000)}, then
          doubling
        </dd>
        <dt>Timeout</dt>
        <dd>{span((policy?.timeout ?? 0) * 1000)} for one attempt</dd>
        <dt>Rate limit</dt>
        <dd>{webhook.rateLimit === 0 ? 'none' : `${plural(webhook.rateLimit, 'request')} a second`}</dd>
        <dt>Failing for long</dt>
        <dd>
          {webhook.onFailing === OnFailing.HOLD
            ? 'paused, and what it would get is kept'
            : 'disabled, and what waits is cancelled'}
        </dd>
        <dt>Secret</dt>
        <dd class="with-button">
          <code>whsec_…{webhook.secretHint}</code>
          {session.value?.role === 'developer' && (
            <button type="button" class="button" disabled={show.busy} onClick={() => void show.run()}>
              Show secret
            </button>
          )}
          {show.failure !== undefined && <Problem failure={show.failure} />}
        </dd>
        <dt>Fields</dt>
        <dd>{webhook.fields.length === 0 ? 'the whole payload' : <span class="mono">{webhook.fields.join(', ')}</span>}</dd>
        <dt>Signatures</dt>
        <dd>{webhook.signatures.includes(Signature.ED25519) ? 'HMAC and Ed25519' : 'HMAC'}</dd>
        <dt>Client certificate</dt>
        <dd>
          {webhook.clientCertificate === undefined ? (
            'none'
          ) : (
            <>
              until <Moment at={webhook.clientCertificate.expiresAt} />
            </>
          )}
        </dd>
        <dt>Access tokens</dt>
        <dd>{webhook.oauth === undefined ? 'none' : <span class="mono">{webhook.oauth.tokenUrl}</span>}</dd>
        <dt>Custom headers</dt>
        <dd>{headers.length === 0 ? 'none' : <span class="mono">{headers.join(', ')}</span>}</dd>
        <dt>Owner</dt>
        <dd>{webhook.userId}</dd>
        <dt>Created</dt>
        <dd>
          <Moment at={webhook.createdAt} />, changed <Moment at={webhook.updatedAt} />
        </dd>
      </dl>
    </section>
  );
}
