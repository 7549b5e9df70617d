// Delivery statuses as the page names, orders and colours them.
import { type Delivery, DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';

type StatusKey = 'delivered' | 'retrying' | 'failed' | 'pending' | 'cancelled';

export interface Look {
  /** The name of its colour and of its shape. */
  readonly key: StatusKey | 'held' | 'expired' | 'superseded';
  readonly label: string;
  readonly meaning: string;
}

export interface StatusLook extends Look {
  /** As in the address bar and the REST API. */
  readonly key: StatusKey;
  readonly status: DeliveryStatus;
}

export const statuses: readonly StatusLook[] = [
  { key: 'delivered', label: 'Delivered', meaning: 'The receiver answered with 2xx.', status: DeliveryStatus.DELIVERED },
  {
    key: 'retrying',
    label: 'Retrying',
    meaning: 'Failed at least once and will be tried again.',
    status: DeliveryStatus.RETRYING,
  },
  { key: 'failed', label: 'Failed', meaning: 'Given up after the last attempt.', status: DeliveryStatus.FAILED },
  { key: 'pending', label: 'Pending', meaning: 'Not tried yet.', status: DeliveryStatus.PENDING },
  {
    key: 'cancelled',
    label: 'Cancelled',
    meaning: 'Ended before it was delivered: its page says why.',
    status: DeliveryStatus.CANCELLED,
  },
];

const pending: StatusLook = { key: 'pending', label: 'Pending', meaning: 'Not tried yet.', status: DeliveryStatus.PENDING };

const held: Look = { key: 'held', label: 'Held', meaning: 'Kept until its webhook is resumed.' };

/** Cancellations that neither a caller nor a failure led to. */
const CANCELLATIONS: Readonly<Record<string, Look>> = {
  expired: { key: 'expired', label: 'Expired', meaning: 'Not delivered before the moment until which its event was of use.' },
  superseded: { key: 'superseded', label: 'Superseded', meaning: 'A newer event took its place before it was sent.' },
};

/** Of one delivery: its status, or what its status alone does not say. */
export function lookOfDelivery({ status, heldAt, cancelReason }: Pick<Delivery, 'status' | 'heldAt' | 'cancelReason'>): Look {
  if (status === DeliveryStatus.PENDING && heldAt !== undefined) return held;
  if (status === DeliveryStatus.CANCELLED) return CANCELLATIONS[cancelReason ?? ''] ?? lookOf(status);
  return lookOf(status);
}

export function lookOf(status: DeliveryStatus): StatusLook {
  return statuses.find((look) => look.status === status) ?? pending;
}

/** From the address bar; undefined for anything else. */
export function statusFromKey(key: string | null): StatusLook | undefined {
  return statuses.find((look) => look.key === key);
}
