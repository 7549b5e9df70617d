// What becomes of the deliveries of a webhook that a caller disabled or deleted.
import { cancelDeliveries } from '../persistence/queries/cancel-deliveries.ts';
import type { ManagementContext } from './context.ts';
import { toStatusUpdates } from './delivery-view.ts';

/**
 * Cancels them, after the commit that closed the webhook: from then on nothing of it is sent anyway. Never rejects: what is left
 * over is cancelled by housekeeping.
 */
export async function cancelWaiting(context: ManagementContext, webhookId: string): Promise<void> {
  try {
    await cancelDeliveries(context.pool, webhookId, (rows) => context.publishUpdates(toStatusUpdates(rows)));
  } catch (error) {
    context.log.warn(
      { err: error, webhook_id: webhookId },
      'not every delivery of a closed webhook was cancelled; housekeeping will',
    );
  }
}
