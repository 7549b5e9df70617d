// The synchronous test send: one attempt at once, outside the schedule, so that its outcome can be answered.
import type { TestSender } from '../service/test-sender.ts';
import type { Attempted, AttemptParts } from './attempt.ts';
import type { Target, WebhookDirectory } from './webhook-directory.ts';

/** The attempt is always made with the webhook as it is in the database now: testing is what one does after a change. */
export function createTestSender(
  directory: WebhookDirectory,
  send: (target: Target, parts: AttemptParts) => Promise<Attempted>,
): TestSender {
  return {
    async send(delivery) {
      const target = await directory.load(delivery.webhookId);
      if (target === null || !target.isOpen) return null;
      const { outcome } = await send(target, { ...delivery, traceparent: null, attemptNumber: 1 });
      return outcome;
    },
  };
}
