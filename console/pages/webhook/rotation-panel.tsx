// A rotation that is under way: until when the earlier secret signs, and both ways of ending it now.
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { nowMs } from '../../clock.ts';
import { Moment } from '../../components/moment.tsx';
import { Problem } from '../../components/states.tsx';
import { span, toDate } from '../../format/time.ts';
import { dropSecret } from './fresh-secret.ts';

export function RotationPanel({ webhook, onChanged }: { webhook: Webhook; onChanged: () => void }) {
  const complete = useAction(async () => {
    await webhooks.completeRotation({ webhookId: webhook.id });
    onChanged();
  });
  const cancel = useAction(async () => {
    await webhooks.cancelRotation({ webhookId: webhook.id });
    dropSecret();
    onChanged();
  });
  const endsAt = toDate(webhook.rotationEndsAt);
  if (endsAt === undefined || endsAt.getTime() <= nowMs.value) return null;
  const failure = complete.failure ?? cancel.failure;
  return (
    <section class="panel" aria-labelledby="rotation-heading">
      <h2 id="rotation-heading">The secret is being changed</h2>
      <p>
        The new one, <code>whsec_…{webhook.secretHint}</code>, takes over in {span(endsAt.getTime() - nowMs.value)} (
        <Moment at={endsAt} />
        ). Until then the plain header is made with the earlier one, and <code>webhook-signature</code> carries both.
      </p>
      {failure !== undefined && <Problem failure={failure} />}
      <div class="button-row">
        <button type="button" class="button" disabled={complete.busy} onClick={() => void complete.run()}>
          Finish now
        </button>
        <button type="button" class="button" disabled={cancel.busy} onClick={() => void cancel.run()}>
          Keep the earlier secret
        </button>
      </div>
    </section>
  );
}
