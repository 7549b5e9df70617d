// What a replay would send: how many, and the oldest of them.
import type { ComponentChildren } from 'preact';
import type { Replay } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { DeliveryTable } from '../../components/delivery-table.tsx';
import { count, plural } from '../../format/number.ts';

export function ReplayPreview({ found, children }: { found: Replay; children: ComponentChildren }) {
  if (found.matched === 0) return <p class="quiet-note">Nothing matches. Nothing would be sent.</p>;
  return (
    <div class="replay-preview" data-testid="replay-preview">
      <p>
        <b>
          {found.matchedIsLowerBound && 'At least '}
          {plural(found.matched, 'delivery', 'deliveries')}
        </b>{' '}
        would be sent again{found.samples.length > 0 && found.samples.length < found.matched ? '. The oldest of them:' : '.'}
      </p>
      {found.samples.length > 0 && (
        <DeliveryTable
          caption="The oldest deliveries that would be sent again"
          showWebhook={false}
          rows={found.samples.map((delivery) => ({ delivery }))}
        />
      )}
      {children}
    </div>
  );
}

/** For a button that sends them. */
export function amountOf({ matched, matchedIsLowerBound }: Replay): string {
  return matchedIsLowerBound ? 'them' : count(matched);
}
