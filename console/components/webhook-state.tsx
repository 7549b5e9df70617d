// Whether a webhook is being sent to, and how that is going.
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { nowMs } from '../clock.ts';
import { plural } from '../format/number.ts';
import { span, toDate } from '../format/time.ts';

interface State {
  /** `quiet`: nothing is wrong, and nothing says that anything arrived either. */
  readonly tone: 'quiet' | 'retrying' | 'failed' | 'pending' | 'cancelled';
  readonly label: string;
  readonly detail: string;
}

const DISABLED: Record<string, string> = {
  gone: 'It answered 410 Gone, so the service stopped sending.',
  failing: 'It failed for too long, so the service stopped sending.',
};

export function stateOf(webhook: Webhook, atMs: number): State {
  const health = webhook.health;
  const reason = health?.disabledReason ?? '';
  if (reason !== '')
    return { tone: 'failed', label: 'Disabled', detail: `${DISABLED[reason] ?? reason}${nextProbe(webhook, atMs)}` };
  if (!webhook.isActive)
    return { tone: 'cancelled', label: 'Disabled', detail: 'Nothing is sent to it, and nothing is kept for it.' };
  const held = `${plural(health?.held ?? 0, 'delivery', 'deliveries')} held`;
  if (webhook.paused && health?.pausedReason === 'failing')
    return {
      tone: 'failed',
      label: 'Paused',
      detail: `It failed for too long, so the service keeps what it would get: ${held}.${nextProbe(webhook, atMs)}`,
    };
  if (webhook.paused) return { tone: 'pending', label: 'Paused', detail: `Nothing is sent to it: ${held}.` };
  if (webhook.releaseId !== '') return { tone: 'retrying', label: 'Resuming', detail: `What was held is being sent: ${held}.` };
  const failures = health?.consecutiveFailures ?? 0;
  if (failures === 0) return { tone: 'quiet', label: 'Active', detail: '' };
  const since = toDate(health?.failingSince);
  const lasting = since === undefined ? '' : ` over ${span(atMs - since.getTime())}`;
  return { tone: 'retrying', label: 'Failing', detail: `${plural(failures, 'failed attempt')} in a row${lasting}` };
}

function nextProbe({ health }: Webhook, atMs: number): string {
  const at = toDate(health?.nextProbeAt);
  if (at === undefined) return '';
  const when = at.getTime() > atMs ? `in ${span(at.getTime() - atMs)}` : 'now';
  return ` It is asked ${when} whether it is back.`;
}

export function WebhookState({ webhook }: { webhook: Webhook }) {
  const state = stateOf(webhook, nowMs.peek());
  return (
    <span class={`badge tone-${state.tone}`} title={state.detail}>
      {state.label}
    </span>
  );
}
