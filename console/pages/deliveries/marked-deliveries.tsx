// What can be done to the deliveries that were marked: sent again, or ended.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Delivery, DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { useAction } from '../../api/action.ts';
import { deliveries } from '../../api/client.ts';
import { eachOf } from '../../api/each-of.ts';
import { ConfirmDialog } from '../../components/dialog.tsx';
import { Refusals } from '../../components/refusals.tsx';
import { plural } from '../../format/number.ts';

interface Result {
  /** Those that were retried, in the order of the page. */
  readonly retried: readonly string[];
  readonly cancelled: number;
  readonly refusals: ReadonlyMap<string, number>;
}

interface MarkedDeliveriesProps {
  readonly marked: readonly Delivery[];
  /** Called when something was done: the rows stand otherwise now. */
  readonly onDone: () => void;
}

export function MarkedDeliveries({ marked, onDone }: MarkedDeliveriesProps) {
  const [asking, setAsking] = useState<'retry' | 'cancel' | null>(null);
  const [done, setDone] = useState(0);
  const [result, setResult] = useState<Result | null>(null);
  const run = async (act: 'retry' | 'cancel', ids: readonly string[]) => {
    setDone(0);
    setResult(null);
    const one = (deliveryId: string) =>
      act === 'retry' ? deliveries.retryDelivery({ deliveryId }) : deliveries.cancelDelivery({ deliveryId });
    const { done: changed, refusals } = await eachOf(ids, one, () => setDone((before) => before + 1));
    setResult({
      retried: act === 'retry' ? changed : [],
      cancelled: act === 'cancel' ? changed.length : 0,
      refusals,
    });
    setAsking(null);
    onDone();
  };
  const retry = useAction(() => run('retry', marked.map(idOf)));
  const cancel = useAction(() => run('cancel', marked.map(idOf)));
  const takeBack = useAction(() => run('cancel', result?.retried ?? []));
  const arrived = marked.filter(({ status }) => status === DeliveryStatus.DELIVERED).length;
  const amount = plural(marked.length, 'delivery', 'deliveries');
  const progress = `${done} of ${marked.length} done`;
  return (
    <div class="marked" role="status">
      {marked.length > 0 && (
        <>
          <b>{amount} selected</b>
          <button type="button" class="button primary" onClick={() => setAsking('retry')}>
            Retry selected
          </button>
          <button type="button" class="button danger" onClick={() => setAsking('cancel')}>
            Cancel selected
          </button>
        </>
      )}
      {result !== null && (
        <ResultText result={result}>
          <button type="button" class="button" disabled={takeBack.busy} onClick={() => void takeBack.run()}>
            Undo: cancel those not delivered yet
          </button>
        </ResultText>
      )}
      {asking === 'retry' && (
        <ConfirmDialog title={`Retry ${amount}?`} confirm="Retry" action={retry} onClose={() => setAsking(null)}>
          <p>
            Each is sent once more now, whatever its status, and keeps its automatic retries.
            {arrived > 0 &&
              ` ${plural(arrived, 'of them was', 'of them were')} delivered before: the receiver gets that again.`}
          </p>
          {retry.busy && <p>{progress}</p>}
        </ConfirmDialog>
      )}
      {asking === 'cancel' && (
        <ConfirmDialog
          title={`Cancel ${amount}?`}
          confirm="Cancel them"
          cancel="Keep them"
          dangerous
          action={cancel}
          onClose={() => setAsking(null)}
        >
          <p>What has not been delivered yet is sent no more. Retrying a delivery undoes that.</p>
          {cancel.busy && <p>{progress}</p>}
        </ConfirmDialog>
      )}
    </div>
  );
}

function ResultText({ result, children }: { result: Result; children: ComponentChildren }) {
  const { retried, cancelled, refusals } = result;
  return (
    <p class="marked-result" data-testid="marked-result">
      {retried.length > 0 && <span>{plural(retried.length, 'delivery is', 'deliveries are')} sent again now. </span>}
      {cancelled > 0 && <span>{plural(cancelled, 'delivery was', 'deliveries were')} cancelled. </span>}
      <Refusals refusals={refusals} />
      {retried.length > 0 && children}
    </p>
  );
}

function idOf({ id }: Delivery): string {
  return id;
}
