// Changes that come faster than they can be read: how many, and what they are. One click freezes them to rows.
import { StatusGlyph } from '../../components/status-mark.tsx';
import { count } from '../../format/number.ts';
import { lookOf } from '../../format/status.ts';
import type { Crowd } from './live-feed.ts';

export function CrowdView({ crowd: { perSecond, groups }, onFreeze }: { crowd: Crowd; onFreeze: () => void }) {
  return (
    <section class="panel crowd" aria-label="Changes, grouped">
      <p class="crowd-rate">
        <b>{count(Math.round(perSecond))}</b> changes a second
      </p>
      <ul class="failures">
        {groups.map(({ status, cause, changes }) => {
          const look = lookOf(status);
          return (
            <li key={`${status} ${cause}`}>
              <b class="failure-count">{count(changes)}</b>
              <p class="crowd-what">
                <StatusGlyph look={look} /> {look.label}
                {cause !== '' && <span class="hint"> {cause}</span>}
              </p>
            </li>
          );
        })}
      </ul>
      <button type="button" class="button" onClick={onFreeze}>
        Freeze and read them
      </button>
    </section>
  );
}
