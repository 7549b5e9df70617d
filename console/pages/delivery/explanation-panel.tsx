// Why this delivery stands where it does, asked anew whenever it changes.
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { deliveries } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { ExplanationView } from '../../components/explanation.tsx';
import { Loaded } from '../../components/states.tsx';

export function ExplanationPanel({ delivery: { id, webhookId, status, attemptCount } }: { delivery: Delivery }) {
  const explanation = useResource(
    id,
    (signal) => deliveries.explainDelivery({ webhookId, deliveryId: id }, { signal }),
    `${status} ${attemptCount}`,
  );
  return (
    <section class="panel" aria-labelledby="explanation">
      <div class="panel-head">
        <h2 id="explanation">Why</h2>
      </div>
      <Loaded from={explanation} lines={2}>
        {(data) => <ExplanationView explanation={data} />}
      </Loaded>
    </section>
  );
}
