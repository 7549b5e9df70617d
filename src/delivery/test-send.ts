// The synchronous test send: one attempt at once, outside the schedule, whose outcome is the reply.
import type { TestSender } from '../service/test-sender.ts';
import type { Attempt } from './attempt.ts';
import { TestBudget } from './test-budget.ts';
import type { WebhookDirectory } from './webhook-directory.ts';

/**
 * ms. A caller waits for the outcome, in a call of 30 s: a receiver that hangs must become `timeout` before that, whatever the webhook's
 * own timeout is.
 */
export const MAX_TEST_MS = 25_000;

/**
 * The attempt is always made with the webhook as it is in the database now: testing is what one does after a change. Rejects with
 * `test_limit_reached` while too many tests are under way.
 */
export function createTestSender(directory: WebhookDirectory, send: Attempt): TestSender {
  const budget = new TestBudget();
  return {
    async send(delivery) {
      const target = await directory.load(delivery.webhookId);
      // Of a webhook that is disabled too: its owner wants to know that it is mended before it is enabled.
      if (target === null) return null;
      const policy = { ...target.policy, timeoutMs: Math.min(target.policy.timeoutMs, MAX_TEST_MS) };
      const giveBack = budget.take(target.id, target.userId);
      try {
        const { outcome } = await send({ ...target, policy }, { ...delivery, traceparent: null, trigger: 'test' }, 1);
        return outcome;
      } finally {
        giveBack();
      }
    },
  };
}
