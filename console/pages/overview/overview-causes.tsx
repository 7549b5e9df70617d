// What went wrong over all webhooks, most frequent first, with what to do about it.
import type { Overview } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { causeOfKey } from '../../format/cause.ts';
import { count } from '../../format/number.ts';

/** What comes after these is rare beside them. */
const SHOWN = 8;

export function OverviewCauses({ overview }: { overview: Overview }) {
  if (overview.causes.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="overview-causes">
      <div class="panel-head">
        <h2 id="overview-causes">Failures by cause</h2>
      </div>
      <ul class="failures">
        {overview.causes.slice(0, SHOWN).map(({ cause, deliveries }) => {
          const { label, advice } = causeOfKey(cause);
          return (
            <li key={cause}>
              <b class="failure-count">{count(deliveries)}</b>
              <div>
                <p class="failure-cause">{label}</p>
                {advice !== '' && <p class="hint">{advice}</p>}
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
