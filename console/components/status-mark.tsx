// A status as a shape and a colour, so that neither alone has to be recognised.
import type { Look } from '../format/status.ts';

const SHAPES: Record<Look['key'], string> = {
  delivered: 'M3 8.5 6.5 12 13 4.5',
  retrying: 'M12.5 6A5 5 0 1 0 13 8.8M12.8 2.6V6H9.4',
  failed: 'M4 4l8 8M12 4l-8 8',
  pending: 'M8 4.2V8l2.6 1.7M8 2.4a5.6 5.6 0 1 0 0 11.2A5.6 5.6 0 0 0 8 2.4',
  cancelled: 'M3.5 8h9',
  held: 'M6 3.8v8.4M10 3.8v8.4',
  expired: 'M4.5 3h7L8 8l3.5 5h-7L8 8z',
  superseded: 'M4 5.5l4 4 4-4M4 9.5l4 4 4-4',
};

export function StatusGlyph({ look }: { look: Look }) {
  return (
    <svg class={`glyph tone-${look.key}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={SHAPES[look.key]} />
    </svg>
  );
}

export function StatusMark({ look }: { look: Look }) {
  return (
    <span class={`status tone-${look.key}`} title={look.meaning}>
      <StatusGlyph look={look} />
      {look.label}
    </span>
  );
}
