// A status as a shape and a colour, so that neither alone has to be recognised.
import type { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { lookOf, type StatusLook } from '../format/status.ts';

const SHAPES: Record<StatusLook['key'], string> = {
  delivered: 'M3 8.5 6.5 12 13 4.5',
  retrying: 'M12.5 6A5 5 0 1 0 13 8.8M12.8 2.6V6H9.4',
  failed: 'M4 4l8 8M12 4l-8 8',
  pending: 'M8 4.2V8l2.6 1.7M8 2.4a5.6 5.6 0 1 0 0 11.2A5.6 5.6 0 0 0 8 2.4',
  cancelled: 'M3.5 8h9',
};

export function StatusGlyph({ look }: { look: StatusLook }) {
  return (
    <svg class={`glyph tone-${look.key}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={SHAPES[look.key]} />
    </svg>
  );
}

export function StatusMark({ status }: { status: DeliveryStatus }) {
  const look = lookOf(status);
  return (
    <span class={`status tone-${look.key}`} title={look.meaning}>
      <StatusGlyph look={look} />
      {look.label}
    </span>
  );
}
