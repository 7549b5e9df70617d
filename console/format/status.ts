// Delivery statuses as the page names, orders and colours them.
import { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';

export interface StatusLook {
  /** As in the address bar and the REST API; also the name of its colour. */
  readonly key: 'delivered' | 'retrying' | 'failed' | 'pending' | 'cancelled';
  readonly label: string;
  readonly meaning: string;
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

export function lookOf(status: DeliveryStatus): StatusLook {
  return statuses.find((look) => look.status === status) ?? pending;
}

/** From the address bar; undefined for anything else. */
export function statusFromKey(key: string | null): StatusLook | undefined {
  return statuses.find((look) => look.key === key);
}
