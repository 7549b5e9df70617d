// Whether the stream is open, and what became of the time it was not.
import { nowMs } from '../../clock.ts';
import type { WatchState } from '../../api/watch.ts';
import { clockTime, span } from '../../format/time.ts';

export function StreamState({ state }: { state: WatchState }) {
  return (
    <p class={`stream-state ${state.kind}`} role="status">
      <span class="stream-dot" aria-hidden="true" />
      <span>
        <StateText state={state} />
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
