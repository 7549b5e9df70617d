// A moment: short in the line, in full on hover and for machines.
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { nowMs } from '../clock.ts';
import { ago, fullMoment, shortMoment, toDate } from '../format/time.ts';

export function Moment({ at, relative = false }: { at: Timestamp | Date | undefined; relative?: boolean }) {
  const date = at instanceof Date ? at : toDate(at);
  if (date === undefined) return <span class="absent">–</span>;
  // Only relative moments depend on the clock: reading it re-renders every second.
  const text = relative ? ago(date, nowMs.value) : shortMoment(date, new Date());
  return (
    <time dateTime={date.toISOString()} title={fullMoment(date)}>
      {text}
    </time>
  );
}
