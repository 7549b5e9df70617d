// The replays of a webhook, newest first: how far each is, what came of it, and what can be done about it.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type Replay, ReplayState } from '../../../gen/homechef/webhook/v1/replay_pb.ts';
import { useAction } from '../../api/action.ts';
import { replays } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { Moment } from '../../components/moment.tsx';
import { Loaded, Problem } from '../../components/states.tsx';
import { count, plural } from '../../format/number.ts';
import { lookOf } from '../../format/status.ts';

/** ms. How often replays are read anew while one makes progress. */
const REFRESH_MS = 1000;
/** Replays shown at first, and those that a page of the service may have. */
const FEW = 5;
const MANY = 100;
/** ms. So long after its end a replay is read anew while some of what it sent has not ended: a retry may be hours away. */
const FOLLOW_MS = 600_000;

const STATES: Record<ReplayState, { readonly label: string; readonly tone: string }> = {
  [ReplayState.UNSPECIFIED]: { label: '', tone: '' },
  [ReplayState.RUNNING]: { label: 'Running', tone: 'tone-pending' },
  [ReplayState.WAITING]: { label: 'Waiting', tone: 'tone-retrying' },
  [ReplayState.PAUSED]: { label: 'Paused', tone: 'tone-cancelled' },
  [ReplayState.COMPLETED]: { label: 'Completed', tone: 'tone-delivered' },
  [ReplayState.CANCELLED]: { label: 'Cancelled', tone: 'tone-cancelled' },
};

const REASONS: Readonly<Record<string, string>> = {
  receiver_failing: 'The receiver fails. It is tried every few seconds, and goes on once one is taken.',
  webhook_paused: 'The webhook is paused. It goes on once you resume it.',
  webhook_resuming: 'What was held goes first.',
  webhook_disabled: 'The webhook was disabled or deleted.',
  cancelled_by_caller: '',
};

interface ReplayListProps {
  readonly webhookId: string;
  readonly version: number;
  /** Called when none makes progress any more. */
  readonly onEnded: () => void;
}

export function ReplayList({ webhookId, version, onEnded }: ReplayListProps) {
  const [limit, setLimit] = useState(FEW);
  const isInProgress = useRef(false);
  const list = useResource(`${webhookId} ${limit}`, (signal) => replays.listReplays({ webhookId, limit }, { signal }), version);
  useEffect(() => {
    if (list.loading || list.data === undefined) return;
    const wasInProgress = isInProgress.current;
    isInProgress.current = list.data.replays.some(makesProgress);
    if (!isInProgress.current) {
      if (wasInProgress) onEnded();
      return;
    }
    const timer = setTimeout(list.reload, REFRESH_MS);
    return () => clearTimeout(timer);
  }, [list.data, list.loading]);
  return (
    <Loaded from={list} lines={2}>
      {({ replays: shown, nextPageToken }) => (
        <>
          <ol class="replays" aria-label="Replays of this webhook">
            {shown.map((replay) => (
              <Entry key={replay.id} replay={replay} onChanged={list.reload} />
            ))}
          </ol>
          {nextPageToken !== '' && limit === FEW && (
            <button type="button" class="button" onClick={() => setLimit(MANY)}>
              Show earlier ones
            </button>
          )}
        </>
      )}
    </Loaded>
  );
}

function Entry({ replay, onChanged }: { replay: Replay; onChanged: () => void }) {
  const { webhookId, id: replayId, state } = replay;
  const act = useAction(async (change: 'pause' | 'resume' | 'cancel') => {
    const call = { webhookId, replayId };
    if (change === 'pause') await replays.pauseReplay(call);
    else if (change === 'resume') await replays.resumeReplay(call);
    else await replays.cancelReplay(call);
    onChanged();
  });
  const look = STATES[state];
  const reason = REASONS[replay.reason] ?? replay.reason;
  return (
    <li data-replay={replayId}>
      <p class="replay-head">
        <span class={`status ${look?.tone ?? ''}`}>{look?.label}</span>
        <b>{selectionOf(replay)}</b>
        <span class="hint">
          {count(replay.rate)} a second · begun <Moment at={replay.createdAt} />
        </span>
      </p>
      <progress
        class="replay-progress"
        aria-label="How much of it is sent"
        max={Math.max(1, replay.matched, replay.released)}
        value={replay.matched === 0 && replay.endedAt !== undefined ? 1 : replay.released}
      />
      <p>{countsOf(replay)}</p>
      {reason !== '' && <p class="hint">{reason}</p>}
      {replay.endedAt === undefined && (
        <div class="button-row">
          {state === ReplayState.PAUSED ? (
            <button type="button" class="button" disabled={act.busy} onClick={() => void act.run('resume')}>
              Resume the replay
            </button>
          ) : (
            <button type="button" class="button" disabled={act.busy} onClick={() => void act.run('pause')}>
              Pause the replay
            </button>
          )}
          <button type="button" class="button danger" disabled={act.busy} onClick={() => void act.run('cancel')}>
            Cancel the replay
          </button>
        </div>
      )}
      {act.failure !== undefined && <Problem failure={act.failure} />}
    </li>
  );
}

function selectionOf({ statuses, eventTypes, includeMissing }: Replay): string {
  const ended = statuses.map((status) => lookOf(status).label.toLowerCase());
  const all = includeMissing ? [...ended, 'missing'] : ended;
  const types = eventTypes.length === 0 ? '' : ` of ${plural(eventTypes.length, 'type')}`;
  const text = all.join(', ') + types;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function countsOf({ matched, matchedIsLowerBound, released, delivered, failed, cancelled }: Replay): string {
  const parts = [
    `${count(released)} of ${matchedIsLowerBound ? 'at least ' : ''}${count(Math.max(matched, released))} sent`,
    `${count(delivered)} delivered`,
  ];
  if (failed > 0) parts.push(`${count(failed)} failed again`);
  if (cancelled > 0) parts.push(`${count(cancelled)} cancelled`);
  return parts.join(' · ');
}

function makesProgress({ state, endedAt, released, delivered, failed, cancelled }: Replay): boolean {
  if (state === ReplayState.PAUSED) return false;
  if (endedAt === undefined) return true;
  return delivered + failed + cancelled < released && Date.now() < timestampMs(endedAt) + FOLLOW_MS;
}
