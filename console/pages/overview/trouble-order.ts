// The orders that webhooks in trouble can be shown in.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { TroubledWebhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { causeOfKey } from '../../format/cause.ts';

export type TroubleOrder = 'worst' | 'host' | 'owner' | 'cause' | 'waiting';

export function inOrder(list: readonly TroubledWebhook[], order: TroubleOrder): readonly TroubledWebhook[] {
  switch (order) {
    case 'host':
      return byText(list, hostOf);
    case 'owner':
      return byText(list, ({ webhook }) => webhook?.userId ?? '');
    case 'cause':
      return byText(list, causeLabel);
    case 'waiting':
      return list.toSorted((a, b) => waitingSinceMs(a) - waitingSinceMs(b));
    case 'worst':
      return list;
  }
}

export function causeLabel({ cause }: TroubledWebhook): string {
  return cause === undefined ? '' : causeOfKey(cause.cause).label;
}

/** When the oldest delivery was made that is held or retried; infinite when none is. */
export function waitingSinceMs({ webhook, oldestRetryingAt }: TroubledWebhook): number {
  const held = webhook?.health?.oldestHeldAt;
  return Math.min(...[held, oldestRetryingAt].map((at) => (at === undefined ? Infinity : timestampMs(at))));
}

function hostOf({ webhook }: TroubledWebhook): string {
  return URL.parse(webhook?.url ?? '')?.host ?? '';
}

/** Equal ones stay in the order they came in, worst first. */
function byText(list: readonly TroubledWebhook[], textOf: (one: TroubledWebhook) => string): readonly TroubledWebhook[] {
  return list.toSorted((a, b) => textOf(a).localeCompare(textOf(b)));
}
