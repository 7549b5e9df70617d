// What can be done at once to all webhooks that a search has found, as to all that lead to a host that is down.
import { useState } from 'preact/hooks';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { useAction } from '../../api/action.ts';
import { webhooks } from '../../api/client.ts';
import { eachOf, type EachResult } from '../../api/each-of.ts';
import { seesEverybody } from '../../api/session.ts';
import { forgetDirectory } from '../../api/webhook-directory.ts';
import { ConfirmDialog } from '../../components/dialog.tsx';
import { Refusals } from '../../components/refusals.tsx';
import { plural } from '../../format/number.ts';
import { NumberField } from './number-field.tsx';

/** Named in a question; how many more there are is said behind them. */
const MAX_NAMED = 8;

type Act = 'pause' | 'resume';

interface ShownWebhooksProps {
  readonly list: readonly Webhook[];
  readonly onChanged: () => void;
}

export function ShownWebhooks({ list, onChanged }: ShownWebhooksProps) {
  const [asking, setAsking] = useState<Act | null>(null);
  const [result, setResult] = useState<(EachResult & { readonly act: Act }) | null>(null);
  const [rate, setRate] = useState('');
  const of: Record<Act, readonly Webhook[]> = {
    pause: list.filter(({ isActive, paused }) => isActive && !paused),
    resume: list.filter(({ isActive, paused }) => isActive && paused),
  };
  const run = async (act: Act) => {
    const ids = of[act].map(({ id }) => id);
    const pace = rate === '' ? {} : { rate: Number(rate) };
    const one = (webhookId: string) =>
      act === 'pause' ? webhooks.pauseWebhook({ webhookId }) : webhooks.resumeWebhook({ webhookId, ...pace });
    setResult({ act, ...(await eachOf(ids, one)) });
    setAsking(null);
    forgetDirectory();
    onChanged();
  };
  const pause = useAction(() => run('pause'));
  const resume = useAction(() => run('resume'));
  const amount = (act: Act) => plural(of[act].length, 'webhook');
  return (
    <div class="marked" role="status">
      {of.pause.length > 0 && (
        <button type="button" class="button" onClick={() => setAsking('pause')}>
          Pause {amount('pause')}
        </button>
      )}
      {of.resume.length > 0 && (
        <button type="button" class="button primary" onClick={() => setAsking('resume')}>
          Resume {amount('resume')}
        </button>
      )}
      {result !== null && (
        <p>
          {plural(result.done.length, 'webhook')} {result.act === 'pause' ? 'paused' : 'resumed'}.{' '}
          <Refusals refusals={result.refusals} />
        </p>
      )}
      {asking === 'pause' && (
        <ConfirmDialog title={`Pause ${amount('pause')}?`} confirm="Pause them" action={pause} onClose={() => setAsking(null)}>
          <Named list={of.pause} />
          <p>Nothing is sent to them, and what they would get is kept. “Resume” undoes it.</p>
        </ConfirmDialog>
      )}
      {asking === 'resume' && (
        <ConfirmDialog
          title={`Resume ${amount('resume')}?`}
          confirm="Resume them"
          action={resume}
          onClose={() => setAsking(null)}
        >
          <Named list={of.resume} />
          <p>What was held is sent oldest first, to each at a pace that begins slowly.</p>
          <NumberField
            label="Pace"
            unit="deliveries a second, each"
            min={1}
            max={1000}
            step={1}
            value={rate}
            placeholder="50"
            error={undefined}
            onInput={setRate}
          />
        </ConfirmDialog>
      )}
    </div>
  );
}

function Named({ list }: { list: readonly Webhook[] }) {
  const withOwner = seesEverybody();
  return (
    <>
      <ul class="named">
        {list.slice(0, MAX_NAMED).map(({ id, url, userId }) => (
          <li key={id} class="mono wrap">
            {url}
            {withOwner && ` of ${userId}`}
          </li>
        ))}
      </ul>
      {list.length > MAX_NAMED && <p>And {list.length - MAX_NAMED} more.</p>}
    </>
  );
}
