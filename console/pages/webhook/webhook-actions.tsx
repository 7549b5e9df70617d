// What can be done to a webhook, each with the question that its consequences deserve.
import { useEffect, useState } from 'preact/hooks';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { forgetDirectory } from '../../api/webhook-directory.ts';
import { ConfirmDialog } from '../../components/dialog.tsx';
import { Problem } from '../../components/states.tsx';
import { navigate } from '../../router.ts';
import { keepSecret } from './fresh-secret.ts';

/** How often a webhook is read anew while what was held of it is being sent, in milliseconds. */
const RELEASE_REFRESH_MS = 2000;

export function WebhookActions({ webhook, onChanged }: { webhook: Webhook; onChanged: () => void }) {
  const [asking, setAsking] = useState<'rotate' | 'disable' | 'delete' | null>(null);
  const close = () => setAsking(null);
  const done = () => {
    close();
    forgetDirectory();
    onChanged();
  };
  const rotate = useAction(async () => {
    keepSecret(await webhooks.rotateSecret({ webhookId: webhook.id }), 'rotated');
    done();
    scrollTo(0, 0);
  });
  // No question: nothing is lost either way.
  const pause = useAction(async () => {
    await (webhook.paused
      ? webhooks.resumeWebhook({ webhookId: webhook.id })
      : webhooks.pauseWebhook({ webhookId: webhook.id }));
    done();
  });
  const disable = useAction(async () => {
    await webhooks.updateWebhook({ webhookId: webhook.id, isActive: !webhook.isActive });
    done();
  });
  useEffect(() => {
    if (webhook.releaseId === '') return;
    const timer = setTimeout(onChanged, RELEASE_REFRESH_MS);
    return () => clearTimeout(timer);
  }, [webhook]);
  const remove = useAction(async () => {
    await webhooks.deleteWebhook({ webhookId: webhook.id });
    forgetDirectory();
    navigate('/webhooks', { replace: true });
  });
  return (
    <>
      <a class="button" href={`/webhooks/${webhook.id}/edit`}>
        Edit
      </a>
      <button type="button" class="button" onClick={() => setAsking('rotate')}>
        Rotate secret
      </button>
      {webhook.isActive && (
        <button type="button" class="button" disabled={pause.busy} onClick={() => void pause.run()}>
          {webhook.paused ? 'Resume' : 'Pause'}
        </button>
      )}
      <button
        type="button"
        class="button"
        disabled={disable.busy}
        onClick={() => (webhook.isActive ? setAsking('disable') : void disable.run())}
      >
        {webhook.isActive ? 'Disable' : 'Enable'}
      </button>
      <button type="button" class="button danger" onClick={() => setAsking('delete')}>
        Delete
      </button>
      {pause.failure !== undefined && <Problem failure={pause.failure} />}
      {asking === 'rotate' && (
        <ConfirmDialog title="Rotate the signing secret?" confirm="Rotate secret" action={rotate} onClose={close}>
          <p>
            A new secret is made. For 24 hours requests carry a signature of each secret in <code>webhook-signature</code>, and
            the plain header is made with the earlier one, so a receiver goes on as it is until it has the new one. You can
            finish earlier, or go back.
          </p>
        </ConfirmDialog>
      )}
      {asking === 'disable' && (
        <ConfirmDialog title="Disable this webhook?" confirm="Disable" action={disable} onClose={close}>
          <p>
            Nothing more is sent to it until you enable it. Deliveries still pending are cancelled, and events published
            meanwhile do not reach it. To keep them for later, pause it instead.
          </p>
        </ConfirmDialog>
      )}
      {asking === 'delete' && (
        <ConfirmDialog title="Delete this webhook?" confirm="Delete webhook" dangerous action={remove} onClose={close}>
          <p class="mono wrap">{webhook.url}</p>
          <p>What is still pending for it is cancelled. Its past deliveries stay readable until their retention ends.</p>
        </ConfirmDialog>
      )}
    </>
  );
}
