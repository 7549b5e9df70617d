// Sending again what a webhook did not get: choose, look at what that is, begin, and see how far it comes.
import { useState } from 'preact/hooks';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { Replay } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { useAction } from '../../api/action.ts';
import { replays } from '../../api/client.ts';
import { Problem } from '../../components/states.tsx';
import { emptyDraft, type ReplayDraft, requestOf } from './replay-draft.ts';
import { ReplayForm } from './replay-form.tsx';
import { ReplayList } from './replay-list.tsx';
import { amountOf, ReplayPreview } from './replay-preview.tsx';

interface Preview {
  readonly draft: ReplayDraft;
  readonly found: Replay;
  /** Of the call that begins it: pressed twice, it begins one. */
  readonly key: string;
}

interface ReplayPanelProps {
  readonly webhook: Webhook;
  /** Changes when a replay was begun elsewhere on the page. */
  readonly version: number;
  /** Called when nothing of it is on its way any more. */
  readonly onEnded: () => void;
}

export function ReplayPanel({ webhook, version, onEnded }: ReplayPanelProps) {
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
          <ReplayPreview found={preview.found}>
            <div class="button-row">
              <button type="button" class="button primary" disabled={begin.busy} onClick={() => void begin.run()}>
                {begin.busy ? 'Beginning…' : `Send ${amountOf(preview.found)} again`}
              </button>
              <button type="button" class="button" onClick={() => setPreview(null)}>
                Leave it
              </button>
            </div>
          </ReplayPreview>
        )}
      </div>
      {begin.failure !== undefined && <Problem failure={begin.failure} />}
      <ReplayList webhookId={webhook.id} version={begun + version} onEnded={onEnded} />
    </section>
  );
}
