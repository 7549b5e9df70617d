// What can be done to a webhook, each with the question that its consequences deserve.
import { useState } from 'preact/hooks';
import { DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { deliveries, webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { forgetDirectory } from '../../api/webhook-directory.ts';
import { ConfirmDialog } from '../../components/dialog.tsx';
import { Problem } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';
import { navigate } from '../../router.ts';
import { NumberField } from '../webhooks/number-field.tsx';
import { keepSecret } from './fresh-secret.ts';

interface WebhookActionsProps {
  readonly webhook: Webhook;
  readonly onChanged: () => void;
  readonly onEnabled: () => void;
}

export function WebhookActions({ webhook, onChanged, onEnabled }: WebhookActionsProps) {
  const [asking, setAsking] = useState<'rotate' | 'disable' | 'delete' | 'resume' | null>(null);
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
    await webhooks.pauseWebhook({ webhookId: webhook.id });
    done();
  });
  const [rate, setRate] = useState('');
  const resume = useAction(async () => {
    await webhooks.resumeWebhook({ webhookId: webhook.id, ...(rate === '' ? {} : { rate: Number(rate) }) });
    done();
  });
  const held = webhook.health?.held ?? 0;
  const disable = useAction(async () => {
    await webhooks.updateWebhook({ webhookId: webhook.id, isActive: !webhook.isActive });
    if (!webhook.isActive) onEnabled();
    done();
  });
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
        <button
          type="button"
          class="button"
          disabled={pause.busy || resume.busy}
          onClick={() => {
            if (webhook.paused && held > 0) setAsking('resume');
            else void (webhook.paused ? resume : pause).run();
          }}
        >
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
      {disable.failure !== undefined && asking === null && <Problem failure={disable.failure} />}
      {asking === 'resume' && (
        <ConfirmDialog title="Send what was held?" confirm="Resume" action={resume} onClose={close}>
          <p class="mono wrap">{webhook.url}</p>
          <p>{plural(held, 'delivery', 'deliveries')}, oldest first; what comes meanwhile queues behind.</p>
          <NumberField
            label="Pace"
            unit="deliveries a second"
            min={1}
            max={1000}
            step={1}
            value={rate}
            placeholder={webhook.rateLimit === 0 ? '50' : String(webhook.rateLimit)}
            error={resume.failure?.fields.get('rate')}
            onInput={setRate}
          />
        </ConfirmDialog>
      )}
      {asking === 'rotate' && (
        <ConfirmDialog title="Rotate the signing secret?" confirm="Rotate secret" action={rotate} onClose={close}>
          <p class="mono wrap">{webhook.url}</p>
          <p>
            A new secret is made. For 24 hours requests carry a signature of each secret in <code>webhook-signature</code>, and
            the plain header is made with the earlier one, so a receiver goes on as it is until it has the new one. You can
            finish earlier, or go back.
          </p>
        </ConfirmDialog>
      )}
      {asking === 'disable' && (
        <ConfirmDialog title="Disable this webhook?" confirm="Disable" action={disable} onClose={close}>
          <p class="mono wrap">{webhook.url}</p>
          <Waiting webhookId={webhook.id} />
          <p>
            Nothing more is sent to it until you enable it. Deliveries still pending are cancelled, and events published
            meanwhile do not reach it. “Enable” undoes that, and offers to send what it missed. To keep them for later, pause it
            instead.
          </p>
        </ConfirmDialog>
      )}
      {asking === 'delete' && (
        <ConfirmDialog title="Delete this webhook?" confirm="Delete webhook" dangerous action={remove} onClose={close}>
          <p class="mono wrap">{webhook.url}</p>
          <Waiting webhookId={webhook.id} />
          <p>
            What is still pending for it is cancelled, and this cannot be undone. Its past deliveries stay readable until their
            retention ends.
          </p>
        </ConfirmDialog>
      )}
    </>
  );
}

/** How many deliveries an act would end. */
function Waiting({ webhookId }: { webhookId: string }) {
  const waiting = useResource(webhookId, async (signal) => {
    const [pending, retrying] = await Promise.all(
      [DeliveryStatus.PENDING, DeliveryStatus.RETRYING].map((status) =>
        deliveries.listDeliveries({ webhookId, status, limit: 1 }, { signal }),
      ),
    );
    return { count: (pending?.total ?? 0) + (retrying?.total ?? 0), isExact: pending?.totalIsExact && retrying?.totalIsExact };
  });
  if (waiting.data === undefined) return null;
  const { count, isExact } = waiting.data;
  return (
    <p data-testid="waiting">
      {isExact === true ? '' : 'More than '}
      {plural(count, 'delivery waits', 'deliveries wait')} for it.
    </p>
  );
}
