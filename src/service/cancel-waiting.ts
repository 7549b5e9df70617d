// What becomes of the deliveries of a webhook that a caller disabled or deleted.
import { cancelDeliveries } from '../persistence/queries/cancel-deliveries.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { toStatusUpdates } from './delivery-view.ts';

/**
 * Cancels them, after the commit that closed the webhook: from then on nothing of it is sent anyway. Never rejects: what is left
 * over is cancelled by housekeeping.
 */
export async function cancelWaiting(context: ManagementContext, principal: Principal, webhookId: string): Promise<void> {
  try {
    // Long for a long backlog, so it takes its turn like a change; patient, because each is part of one call.
    const cancel = () => cancelDeliveries(context.pool, webhookId, (rows) => context.publishUpdates(toStatusUpdates(rows)));
    await context.changes.run(principal.userId, cancel, { isPatient: true });
  } catch (error) {
    context.log.warn(
      { err: error, webhook_id: webhookId },
      'not every delivery of a closed webhook was cancelled; housekeeping will',
    );
  }
}
