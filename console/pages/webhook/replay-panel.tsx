// Sending again what a webhook did not get: choose, look at what that is, begin, and see how far it comes.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { Replay } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { useAction } from '../../api/action.ts';
import { replays } from '../../api/client.ts';
import { DeliveryTable } from '../../components/delivery-table.tsx';
import { Problem } from '../../components/states.tsx';
import { count, plural } from '../../format/number.ts';
import { emptyDraft, type ReplayDraft, requestOf } from './replay-draft.ts';
import { ReplayForm } from './replay-form.tsx';
import { ReplayList } from './replay-list.tsx';

interface Preview {
  readonly draft: ReplayDraft;
  readonly found: Replay;
  /** Of the call that begins it: pressed twice, it begins one. */
  readonly key: string;
}

/** @param onEnded called when nothing of it is on its way any more */
export function ReplayPanel({ webhook, onEnded }: { webhook: Webhook; onEnded: () => void }) {
  const [draft, setDraft] = useState(emptyDraft);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [begun, setBegun] = useState(0);
  const look = useAction(async () => {
    setPreview(null);
    const found = await replays.createReplay({ ...requestOf(webhook.id, draft), dryRun: true });
    setPreview({ draft, found, key: crypto.randomUUID() });
  });
  const begin = useAction(async () => {
    if (preview === null) return;
    await replays.createReplay({ ...requestOf(webhook.id, preview.draft), idempotencyKey: preview.key });
    setPreview(null);
    setBegun((before) => before + 1);
  });
  // What is begun is what was looked at.
  const change = (next: ReplayDraft) => {
    setDraft(next);
    setPreview(null);
  };
  return (
    <section class="panel" aria-labelledby="replay">
      <div class="panel-head">
        <h2 id="replay">Send again</h2>
        <span class="hint">Each delivery once, oldest first, at a pace</span>
      </div>
      {webhook.isActive ? (
        <ReplayForm draft={draft} busy={look.busy} onChange={change} onSubmit={() => void look.run()} />
      ) : (
        <p class="hint">Nothing can be sent to it while it is disabled.</p>
      )}
      {look.failure !== undefined && <Problem failure={look.failure} />}
      <div role="status">
        {preview !== null && (
          <Found found={preview.found}>
            <div class="button-row">
              <button type="button" class="button primary" disabled={begin.busy} onClick={() => void begin.run()}>
                {begin.busy ? 'Beginning…' : `Send ${amountOf(preview.found)} again`}
              </button>
              <button type="button" class="button" onClick={() => setPreview(null)}>
                Leave it
              </button>
            </div>
          </Found>
        )}
      </div>
      {begin.failure !== undefined && <Problem failure={begin.failure} />}
      <ReplayList webhookId={webhook.id} version={begun} onEnded={onEnded} />
    </section>
  );
}

function Found({ found, children }: { found: Replay; children: ComponentChildren }) {
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

function amountOf({ matched, matchedIsLowerBound }: Replay): string {
  return matchedIsLowerBound ? 'them' : count(matched);
}
