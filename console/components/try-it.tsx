// The first delivery in one click: a webhook for the service's own receiver, and a test event to it. Development alone has that receiver.
import { useAction } from '../api/action.ts';
import { webhooks } from '../api/client.ts';
import { seesEverybody } from '../api/session.ts';
import { isDevelopment } from '../environment.ts';
import { navigate } from '../router.ts';
import { Problem } from './states.tsx';

export function TryIt() {
  const tried = useAction(async () => {
    const { id } = await webhooks.createWebhook({
      url: `${location.origin}/try`,
      events: ['order.created'],
      description: 'Tried in the console',
    });
    const { deliveryId } = await webhooks.testWebhook({ webhookId: id, eventType: 'order.created' });
    navigate(`/deliveries/${deliveryId}`);
  });
  // An operator's webhook would need a user.
  if (!isDevelopment || seesEverybody()) return null;
  return (
    <>
      <button type="button" class="button" disabled={tried.busy} onClick={() => void tried.run()}>
        {tried.busy ? 'Sending…' : 'Try it without a receiver'}
      </button>
      <p class="hint">Makes a webhook for a receiver that this service has in development, and sends it a test event.</p>
      {tried.failure !== undefined && <Problem failure={tried.failure} />}
    </>
  );
}
