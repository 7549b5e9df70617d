// Whether the stream is open, and what became of the time it was not.
import { nowMs } from '../../clock.ts';
import type { WatchState } from '../../api/watch.ts';
import { plural } from '../../format/number.ts';
import { clockTime, span } from '../../format/time.ts';

/** Changes that came faster than they were read. */
export interface Gap {
  readonly dropped: number;
  readonly at: Date;
}

export function StreamState({ state, gap }: { state: WatchState; gap: Gap | null }) {
  return (
    <p class={`stream-state ${state.kind}`} role="status">
      <span class="stream-dot" aria-hidden="true" />
      <span>
        <StateText state={state} />
        {gap !== null && (
          <span class="stream-gap">
            . A gap at {clockTime(gap.at)}: {plural(gap.dropped, 'change')} came faster than they were read. What they left is
            shown as it stands.
          </span>
        )}
      </span>
    </p>
  );
}

function StateText({ state }: { state: WatchState }) {
  switch (state.kind) {
    case 'connecting':
      return <>Connecting…</>;
    case 'live':
      return state.resumedFrom === null ? (
        <>Live</>
      ) : (
        <>Live, resumed from {clockTime(state.resumedFrom)}: nothing was missed</>
      );
    case 'reconnecting':
      return <Reconnecting retryAtMs={state.retryAtMs} resumeFrom={state.resumeFrom} />;
    case 'stopped':
      return <>Stopped</>;
  }
}

function Reconnecting({ retryAtMs, resumeFrom }: { retryAtMs: number; resumeFrom: Date | null }) {
  const waitMs = retryAtMs - nowMs.value;
  return (
    <>
      Reconnecting{waitMs > 1000 ? ` in ${span(waitMs)}` : '…'}
      {resumeFrom !== null && <>, will resume from {clockTime(resumeFrom)}</>}
    </>
  );
}
