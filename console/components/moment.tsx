// A moment: short in the line, in full on hover and for machines.
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { nowMs } from '../clock.ts';
import { ago, fullMoment, shortMoment, toDate } from '../format/time.ts';

interface MomentProps {
  readonly at: Timestamp | Date | undefined;
  /** How long ago it was. */
  readonly relative?: boolean;
  /** To the millisecond. */
  readonly precise?: boolean;
}

export function Moment({ at, relative = false, precise = false }: MomentProps) {
  const date = at instanceof Date ? at : toDate(at);
  if (date === undefined) return <span class="absent">–</span>;
  // Only relative moments depend on the clock: reading it re-renders every second.
  const text = relative ? ago(date, nowMs.value) : shortMoment(date, new Date(), precise);
  return (
    <time dateTime={date.toISOString()} title={fullMoment(date)}>
      {text}
    </time>
  );
}
