// The history of a webhook: who changed what and when, newest first.
import type { ChangedField, WebhookAction } from '../domain/webhook-change.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { listWebhookChanges } from '../persistence/queries/webhook-changes.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { pageBounds, toPage } from './page.ts';

/** Who did what the service did itself. */
export const SYSTEM = 'system';
/** A bigint of PostgreSQL, which is what orders the entries. */
const CHANGE_NO = /^[1-9]\d{0,17}$/;

export interface WebhookChangeView {
  readonly at: Date;
  readonly by: string;
  readonly action: WebhookAction;
  readonly fields: readonly ChangedField[];
  /** Empty for what a caller did. */
  readonly reason: string;
}

export interface WebhookHistory {
  readonly changes: readonly WebhookChangeView[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

export interface HistoryInput {
  readonly webhookId: string;
  /** 0 means the default. */
  readonly limit: number;
  readonly pageToken: string;
}

/** Of a deleted webhook as well. Errors: `not_found`, `invalid_argument` (field_invalid, page_token_invalid). */
export async function getWebhookHistory(
  context: ManagementContext,
  principal: Principal,
  { webhookId, limit, pageToken }: HistoryInput,
): Promise<WebhookHistory> {
  const bounds = pageBounds((key) => CHANGE_NO.test(key), { page: 0, limit, pageToken });
  const { id } = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId, { isDeletedToo: true });
  const rows = await listWebhookChanges(context.pool, id, bounds.lastId, bounds.limit + 1);
  const page = toPage(
    bounds,
    rows.map((row) => ({ ...row, id: row.no })),
    { counted: rows.length, countedAll: true, lookedTo: null },
  );
  return {
    changes: page.items.map(({ at, byUser, action, fields, reason }) => ({
      at,
      by: byUser ?? SYSTEM,
      action,
      fields,
      reason: reason ?? '',
    })),
    nextPageToken: page.nextPageToken,
  };
}
